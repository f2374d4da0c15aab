"""Deadlines without a timer per record.

Each consumer has a slot. It says there which call it is in; the sweeper looks at all
slots a few times a second and cancels the calls whose time is over. A call pays two
attribute writes for that, where a timer or `asyncio.timeout` costs more than the record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from streamproc.codec import Document
from streamproc.errors import RecordError
from streamproc.interfaces import Stage
from streamproc.record import Batch

CLEANUP_S = 2.0  # what a cancelled call gets to clean up
_TICK_SHARE = 0.02  # two ticks stay within 5% of the timeout
_TICK_S = (0.01, 0.25)


class Slot:
    """The call that one task is in."""

    __slots__ = (
        "abandoned", "attempt", "batch", "begun_s", "cancelled_s", "document", "i",
        "on_abandon", "seen", "stage", "task",
    )  # fmt: skip

    def __init__(self, on_abandon: Callable[[Slot], None]) -> None:
        self.on_abandon = on_abandon
        self.task: asyncio.Task[None] | None = None
        self.stage: Stage | None = None
        self.document: Document | None = None
        self.batch: Batch | None = None  # the record that the task is at: line i of batch
        self.i = 0
        self.attempt = 0
        self.seen = 0  # the attempt that the sweeper saw last, and since when
        self.begun_s = 0.0
        self.cancelled_s: float | None = None
        self.abandoned = False

    def begin(self, stage: Stage, document: Document | None = None) -> None:
        """A call begins."""
        self.document = document
        self.attempt += 1
        self.stage = stage

    def end(self) -> None:
        """The call came back. Raises `RecordError` if its time had been over."""
        if self.cancelled_s is not None:
            raise self._timeout()
        self.stage = None

    def end_failed(self, error: BaseException) -> BaseException:
        """The call raised `error`; returns what the record failed of.

        A cancellation that came neither from the sweeper nor from the user's own code
        is raised again: the run is being aborted.
        """
        if self.cancelled_s is not None:
            error = self._timeout()
            if self.task is not None and self.task.cancelling():
                raise asyncio.CancelledError
            return error
        self.stage = None
        if isinstance(error, asyncio.CancelledError) and self.task and self.task.cancelling():
            raise error
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise error
        return error

    def _timeout(self) -> RecordError:
        stage, self.stage, self.cancelled_s = self.stage, None, None
        if self.task is not None:
            self.task.uncancel()
        return timeout_error(stage.timeout_s if stage is not None else 0.0)


def timeout_error(timeout_s: float, more: str = "") -> RecordError:
    """What a record fails of when its call takes too long."""
    return RecordError("timeout", f"no result within {timeout_s:g} s{more}")


def abandoned_error(timeout_s: float) -> RecordError:
    """What a record fails of when its call does not even end when it is cancelled."""
    return timeout_error(timeout_s, f", and it ignored its cancellation for {CLEANUP_S:g} s")


class Sweeper:
    """Cancels calls whose time is over; reports those that ignore it, and late ticks.

    Never early; late by at most two ticks, which is 5% + 25 ms at most. The clock is
    read by the sweeper only: a call's time counts from the first tick that sees it.
    """

    def __init__(self, timeouts_s: list[float], on_late: Callable[[float], None]) -> None:
        shortest = min(timeouts_s, default=1.0)
        self._tick_s = min(max(shortest * _TICK_SHARE, _TICK_S[0]), _TICK_S[1])
        self._on_late = on_late
        self._timer: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self.slots: set[Slot] = set()

    def start(self) -> None:
        """Begin to sweep."""
        self._last_s = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._sweep)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()

    def thaw(self) -> None:
        """The process was stopped and goes on: that time does not count."""
        frozen_s = time.monotonic() - self._last_s - self._tick_s
        if frozen_s > 0:
            self._last_s += frozen_s
            for slot in self.slots:
                slot.begun_s += frozen_s

    @property
    def busy_since_s(self) -> float | None:
        """Since when the oldest call is seen to run."""
        return min((s.begun_s for s in self.slots if s.stage and s.seen == s.attempt), default=None)

    def _sweep(self) -> None:
        now = time.monotonic()
        self._on_late(now - self._last_s - self._tick_s)
        self._last_s = now
        for slot in list(self.slots):
            stage = slot.stage
            if stage is None:
                continue
            if slot.cancelled_s is not None:
                if now - slot.cancelled_s >= CLEANUP_S:
                    self.slots.discard(slot)
                    slot.abandoned = True
                    slot.on_abandon(slot)
            elif slot.seen != slot.attempt:
                slot.seen = slot.attempt
                slot.begun_s = now
            elif now - slot.begun_s >= stage.timeout_s and slot.task is not None:
                slot.cancelled_s = now
                slot.task.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._sweep)
