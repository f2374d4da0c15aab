"""Deadlines without a timer per record.

Each consumer has a slot. It says there which call it is in; the sweeper looks at all
slots a few times a second and cancels the calls whose time is over. A call pays two
attribute writes for that, where a timer or `asyncio.timeout` costs more than the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streamproc.engines.run_delay import RunDelay
from streamproc.engines.slot import CLEANUP_S, Slot
from streamproc.engines.state import CALLING, ENDING

_TICK_SHARE = 0.02  # two ticks stay within 5% of the timeout
_TICK_S = (0.01, 0.25)


class Sweeper:
    """Cancels calls whose time is over; reports those that ignore it, and late ticks.

    Never early; late by at most two ticks, which is 5% + 25 ms at most. The clock is
    read by the sweeper only: a call's time counts from the first tick that sees it.
    """

    def __init__(self, timeouts_s: list[float], on_late: Callable[[float], None]) -> None:
        shortest = min(timeouts_s, default=1.0)
        self._tick_s = min(max(shortest * _TICK_SHARE, _TICK_S[0]), _TICK_S[1])
        self._on_late = on_late
        self._now: Callable[[], float] = lambda: 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self.slots: set[Slot] = set()

    def start(self) -> None:
        """Begin to sweep."""
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._last_s = self._now()
        self._delay = RunDelay()
        self._timer = loop.call_later(self._tick_s, self._sweep)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._delay.close()

    def thaw(self) -> None:
        """The process was stopped and goes on: that time does not count."""
        frozen_s = self._now() - self._last_s - self._tick_s
        if frozen_s > 0:
            self._last_s += frozen_s
            for slot in self.slots:
                slot.begun_s += frozen_s
                if slot.deadline_s is not None:
                    slot.deadline_s += frozen_s

    @property
    def busy_since_s(self) -> float | None:
        """Since when the oldest call is seen to run."""
        calling = (s for s in self.slots if s.state is CALLING and s.seen == s.attempt)
        return min((s.begun_s for s in calling), default=None)

    def _sweep(self) -> None:
        now = self._now()
        self._on_late(now - self._last_s - self._tick_s - self._delay.since_last_s())
        self._last_s = now
        for slot in list(self.slots):
            state = slot.state
            if state is ENDING:
                if now - slot.cancelled_s >= CLEANUP_S:
                    self.slots.discard(slot)
                    slot.on_abandon(slot)
            elif slot.deadline_s is not None and now >= slot.deadline_s:
                slot.interrupt(now, is_deadline=True)
            elif state is not CALLING or (timed := slot.timed) is None:
                continue
            elif slot.seen != slot.attempt:
                slot.seen = slot.attempt
                slot.begun_s = now
            elif now - slot.begun_s >= timed.timeout_s:
                slot.interrupt(now, is_deadline=False)
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._sweep)
