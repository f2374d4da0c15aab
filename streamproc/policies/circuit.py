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


class State(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """One target's circuit.

    A call that was admitted belongs to an `epoch`; what it reports counts only while that
    lasts. `open_since` is when the outage began, None while the circuit is closed.
    """

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
        self.epoch = 0
        self.open_since: float | None = None
        self.delay_s = 0.0  # how long the circuit stays open this time
        self.permits = 0
        self._successes = 0
        self._forget()

    def _forget(self) -> None:
        self._in_row = 0
        self._slice = -1
        self._slices: deque[list[int]] = deque(maxlen=_SLICES)  # [number, calls, failures]

    def admit(self) -> bool:
        """Whether a call may go through now; takes one of the permits of a half-open circuit."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.HALF_OPEN and self.permits:
            self.permits -= 1
            return True
        return False

    def succeeded(self, epoch: int, now: float) -> bool:
        """A call came back. Returns whether this closed the circuit."""
        if epoch != self.epoch:
            return False
        if self.state is State.CLOSED:
            self._in_row = 0
            self._count(now)[1] += 1
            return False
        self._successes += 1
        if self._successes < PROBES:
            return False
        self.state = State.CLOSED
        self.epoch += 1
        self.open_since = None
        self._open_s = self._first_open_s
        self._forget()
        return True

    def failed(self, epoch: int, now: float) -> bool:
        """A call failed. Returns whether this opened the circuit, for `delay_s`."""
        if epoch != self.epoch:
            return False
        if self.state is State.CLOSED:
            self._in_row += 1
            counts = self._count(now)
            counts[1] += 1
            counts[2] += 1
            if self._in_row < self._consecutive and not self._is_failing():
                return False
            self.open_since = now
        self.state = State.OPEN
        self.epoch += 1
        self.delay_s = self._open_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._open_s = min(self._open_s * 2, self._max_open_s)
        return True

    def gave_up(self, epoch: int) -> bool:
        """A call ended without saying anything; returns whether its permit is free again."""
        if epoch != self.epoch or self.state is not State.HALF_OPEN:
            return False
        self.permits += 1
        return True

    def half_open(self) -> None:
        """The time is over: let some calls through."""
        self.state = State.HALF_OPEN
        self.epoch += 1
        self.permits = PROBES
        self._successes = 0

    def _count(self, now: float) -> list[int]:
        number = int(now / self._slice_s)
        if number != self._slice:
            self._slice = number
            while self._slices and self._slices[0][0] <= number - _SLICES:
                self._slices.popleft()
            self._slices.append([number, 0, 0])
        return self._slices[-1]

    def _is_failing(self) -> bool:
        calls = sum(counts[1] for counts in self._slices)
        failures = sum(counts[2] for counts in self._slices)
        return calls >= self._min_calls and failures >= self._failure_ratio * calls
