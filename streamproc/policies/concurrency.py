"""How many calls of a stage a target gets at once: a fixed number, or as many as it can take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from streamproc.errors import CallError
from streamproc.interfaces import Inner, RecheckError, Site, Visit
from streamproc.policies.aimd import Aimd
from streamproc.policies.circuit_breaker import openings
from streamproc.targets import Targets

Count = Annotated[int, Meta(ge=1)]


class Concurrency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adaptive: begins with `start` and stays between `min` and `max`."""

    max: Count
    min: Count = 1
    start: Count = 10

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min: at most max = {self.max}, got {self.min}")

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        return Limiter(self).wrap(inner, site)


class FixedConcurrency(Struct, frozen=True):
    """Always `limit`."""

    limit: int

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        return Limiter(self).wrap(inner, site)


class Limiter:
    """The layer of either; who wants to know the present limits makes it and keeps it."""

    def __init__(self, settings: Concurrency | FixedConcurrency) -> None:
        self._settings = settings
        self._slots: Mapping[Hashable, _Slots] = {}

    @property
    def limits(self) -> dict[Hashable, int]:
        """The present limits of the targets that are called."""
        return {target: slots.limit for target, slots in self._slots.items()}

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        if isinstance(self._settings, FixedConcurrency):
            return self._fixed(inner, site, self._settings.limit)
        return self._adaptive(inner, site, self._settings)

    def _fixed(self, inner: Inner, site: Site, limit: int) -> Inner:
        slots = self._slots = Targets(lambda target: _Slots(target, site, limit))

        async def limited(call: Any, visit: Visit) -> Any:
            own = slots[call.target]
            if own.in_flight < own.limit:
                own.in_flight += 1
            else:
                await own.queue(visit)
            try:
                return await inner(call, visit)
            finally:
                own.in_flight -= 1
                if own.line:
                    own.let_in()

        return limited

    def _adaptive(self, inner: Inner, site: Site, settings: Concurrency) -> Inner:
        def make(target: Hashable) -> _AdaptiveSlots:
            return _AdaptiveSlots(target, site, settings)

        slots = Targets(make)
        self._slots = slots

        async def limited(call: Any, visit: Visit) -> Any:
            own = slots[call.target]
            aimd = own.aimd
            if own.in_flight < own.limit:
                own.in_flight += 1
            else:
                await own.queue(visit)
            cuts = aimd.began(own.in_flight)
            try:
                value = await inner(call, visit)
                if visit.attempts == 1 and aimd.succeeded(cuts):
                    aimd.finish_round(own.now())
                    own.limit = aimd.limit
            except CallError as error:
                if error.throttled:
                    aimd.refused(cuts, own.now())
                elif error.kind == "timeout":
                    aimd.timed_out(cuts, own.now())
                elif error.is_outage:
                    aimd.erred(cuts)
                own.limit = aimd.limit
                raise
            finally:
                own.in_flight -= 1
                if own.line:
                    own.let_in()
            return value

        return limited


class _Slots:
    """A target's slots, and who waits for one, first in, first out.

    Somebody waits only while all slots are taken.
    """

    __slots__ = ("__weakref__", "_loop", "_site", "_target", "in_flight", "limit", "line", "now")

    def __init__(self, target: Hashable, site: Site, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._target = target
        self._site = site
        self.limit = limit
        self.now = self._loop.time
        self.in_flight = 0
        self.line: deque[asyncio.Future[None]] = deque()

    def retire(self) -> bool:
        """See `Retires`."""
        return not self.in_flight and not self.line

    async def queue(self, visit: Visit) -> None:
        """Wait for a slot. Raises `RecheckError` if the circuit opened meanwhile."""
        gate = self._site.gate
        before = openings(gate, self._target)
        turn = self._loop.create_future()
        self.line.append(turn)
        try:
            await visit.wait(turn)
            if openings(gate, self._target) != before:
                raise RecheckError
        except BaseException:
            if turn.done() and not turn.cancelled():  # the slot was given to it
                self.in_flight -= 1
                self.let_in()
            raise

    def let_in(self) -> None:
        """As many as there are slots for."""
        line = self.line
        while line and self.in_flight < self.limit:
            turn = line.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


class _AdaptiveSlots(_Slots):
    """Their number is learnt. What was learnt of a target is kept."""

    __slots__ = ("_first", "aimd")

    def __init__(self, target: Hashable, site: Site, settings: Concurrency) -> None:
        self.aimd = Aimd(settings.min, settings.max, settings.start)
        self._first = self.aimd.limit
        super().__init__(target, site, self._first)

    def retire(self) -> bool:
        """See `Retires`."""
        return super().retire() and not self.aimd.cuts and self.limit == self._first
