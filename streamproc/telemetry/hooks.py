"""Hooks: handlers of events, beside the stream. They never slow it and never end it.

Each has a thread with a loop of its own: a handler that blocks holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from streamproc.interfaces import Observer, ObserverKind, RecordEnded
from streamproc.telemetry.hook_events import as_dict, name_of, struct_of
from streamproc.telemetry.hook_line import Hook, HookLine
from streamproc.types import JsonObject

log = logging.getLogger("streamproc")

_END_S = 5.0  # what handlers get when the run has ended
_FAILURES_PER_S = 10


class HooksKind(ObserverKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `hooks` of the run `run_id`."""

    run_id: str
    hooks: list[Any]

    def opened(self) -> Observer:
        """See `ObserverKind`."""
        return Hooks(self.run_id, self.hooks)


class Hooks(Observer):
    """Hands events over to those who want them; entered and left in the loop of the run."""

    def __init__(self, run_id: str, hooks: Sequence[Hook]) -> None:
        self._run_id = str(run_id)  # a template takes no subclass
        self.wanted = frozenset(struct_of(name) for hook in hooks for name in hook.events)
        self._lines = [HookLine(hook) for hook in hooks]
        self._ration = _Ration(_FAILURES_PER_S)

    async def __aenter__(self) -> Self:
        for line in self._lines:
            line.start(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ends = {asyncio.wrap_future(line.close()) for line in self._lines}
        await asyncio.wait(ends, timeout=_END_S)
        for line in self._lines:
            line.give_up()
            line.tell()
        if self._ration.left_out:
            log.warning("hooks: %d more record_failed, beyond %d a second, were not told",
                        self._ration.left_out, _FAILURES_PER_S)  # fmt: skip

    def state_changed(self, event: Struct) -> None:
        """See `Observer`."""
        if (name := name_of(event)) is not None:
            self._offer(name, as_dict(name, event, self._run_id))

    def record_ended(self, event: RecordEnded) -> None:
        """See `Observer`."""
        if (name := name_of(event)) is not None and self._ration.take(time.monotonic()):
            left_out, self._ration.left_out = self._ration.left_out, 0
            self._offer(name, as_dict(name, event, self._run_id) | {"left_out": left_out})

    def _offer(self, name: str, event: JsonObject) -> None:
        for line in self._lines:
            if name in line.hook.events:
                line.offer(event)


class _Ration:
    """So many in a second; what is more is `left_out`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._since_s = 0.0
        self._count = 0
        self.left_out = 0

    def take(self, now_s: float) -> bool:
        """Whether there is one more."""
        if now_s - self._since_s >= 1.0:
            self._since_s, self._count = now_s, 0
        self._count += 1
        self.left_out += self._count > self._most
        return self._count <= self._most
