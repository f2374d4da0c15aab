"""The state machine of a circuit breaker. Time is an argument; nothing here waits.

After M. Nygard, "Release It!" (2007), with the sliding window of resilience4j.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum

PROBES = 3  # calls that a half-open circuit lets through, and successes that close it
_SLICES = 30  # of the window
_JITTER = 0.2
# What ended within this time is in no order: the loop hears of answers first, and of resets after
# them, so that one failure in five looks like ten in a row.
_TOGETHER_S = 0.025


class State(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """One target's circuit.

    A call that was admitted belongs to an `epoch`; what it reports counts only while that
    lasts. `open_since` is when the outage began, None while the circuit is closed;
    `openings` is how often it opened.
    """

    __slots__ = (
        "_calls", "_consecutive", "_failure_ratio", "_failures", "_first_open_s", "_good_at",
        "_in_row", "_max_open_s", "_min_calls", "_open_s", "_past", "_slice_end", "_slice_s",
        "_successes", "delay_s", "epoch", "is_closed", "open_since", "openings", "permits", "state",
    )  # fmt: skip

    def __init__(
        self,
        *,
        window_s: float,
        failure_ratio: float,
        min_calls: int,
        consecutive: int,
        open_s: float,
        max_open_s: float,
    ) -> None:
        self._slice_s = window_s / _SLICES
        self._failure_ratio = failure_ratio
        self._min_calls = min_calls
        self._consecutive = consecutive
        self._first_open_s = self._open_s = open_s
        self._max_open_s = max_open_s
        self.state = State.CLOSED
        self.is_closed = True  # the same, at a third of the price
        self.epoch = 0
        self.openings = 0
        self.open_since: float | None = None
        self.delay_s = 0.0  # how long the circuit stays open this time
        self.permits = 0
        self._successes = 0
        self._past: deque[tuple[float, int, int]] = deque()  # slices: when begun, calls, failures
        self._forget()

    def _forget(self) -> None:
        self._past.clear()
        self._in_row = self._calls = self._failures = 0
        self._good_at = -_TOGETHER_S
        self._slice_end = 0.0  # of the present slice; its calls and failures are not in `_past`

    def admit(self) -> bool:
        """Whether a call may go through now; takes one of the permits of a half-open circuit."""
        if self.is_closed:
            return True
        if self.state is State.HALF_OPEN and self.permits:
            self.permits -= 1
            return True
        return False

    def succeeded(self, epoch: int, now: float) -> bool:
        """A call came back. Returns whether this closed the circuit."""
        if epoch != self.epoch:
            return False
        if self.is_closed:
            if now >= self._slice_end:
                self._next_slice(now)
            self._in_row = 0
            self._good_at = now
            self._calls += 1
            return False
        self._successes += 1
        if self._successes < PROBES:
            return False
        self.state = State.CLOSED
        self.is_closed = True
        self.epoch += 1
        self.open_since = None
        self._open_s = self._first_open_s
        self._forget()
        return True

    def failed(self, epoch: int, now: float) -> bool:
        """A call failed. Returns whether this opened the circuit, for `delay_s`."""
        if epoch != self.epoch:
            return False
        if self.is_closed:
            if now >= self._slice_end:
                self._next_slice(now)
            self._in_row += 1
            self._calls += 1
            self._failures += 1
            is_row = self._in_row >= self._consecutive and now - self._good_at >= _TOGETHER_S
            if not is_row and not self._is_failing():
                return False
            self.open_since = now
        self.state = State.OPEN
        self.is_closed = False
        self.epoch += 1
        self.openings += 1
        self.delay_s = self._open_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._open_s = min(self._open_s * 2, self._max_open_s)
        return True

    def gave_up(self, epoch: int) -> bool:
        """A call ended without saying anything; returns whether its permit is free again."""
        if epoch != self.epoch or self.state is not State.HALF_OPEN:
            return False
        self.permits += 1
        return True

    def is_untroubled(self, now: float) -> bool:
        """Whether it is closed and knows of no failure, or of none within its window."""
        if not self.is_closed or now >= self._slice_end + self._slice_s * _SLICES:
            return self.is_closed
        return not (self._in_row or self._failures or any(failed for _, _, failed in self._past))

    def half_open(self) -> None:
        """The time is over: let some calls through."""
        self.state = State.HALF_OPEN
        self.epoch += 1
        self.permits = PROBES
        self._successes = 0

    def _next_slice(self, now: float) -> None:
        slice_s = self._slice_s
        if self._calls:
            self._past.append((self._slice_end - slice_s, self._calls, self._failures))
        while self._past and self._past[0][0] <= now - slice_s * _SLICES:
            self._past.popleft()
        self._calls = self._failures = 0
        self._slice_end = now + slice_s

    def _is_failing(self) -> bool:
        calls = self._calls + sum(calls for _, calls, _ in self._past)
        failures = self._failures + sum(failures for _, _, failures in self._past)
        return calls >= self._min_calls and failures >= self._failure_ratio * calls
