"""The state machine of a circuit breaker, which asks whether the *target* is down.

After M. Nygard, "Release It!" (2007), with the sliding window of resilience4j. Moments are an
argument, in seconds by any clock that runs evenly; nothing here waits.

             ten different calls in a row, or half of a window
    CLOSED ────────────────────────────────────────────▶ OPEN ◀──┐
       ▲                                                   │     │ three failures
       │ three successes                   its time is over│     │ without a success
       └───────────────────── HALF_OPEN ◀──────────────────┘     │
                                  └──────────────────────────────┘

Evidence is one outcome per call: its first attempt, or a probe. A record that a target always
refuses is tried several times, and says nothing new; `policies.health` knows which outcome is
evidence, this file what it means. Where an input is full of such records, more have to fail.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum
from typing import NamedTuple

PROBES = 3  # calls that a half-open circuit lets through, successes that close it, failures in turn
_SLICES = 30  # of the window
_JITTER = 0.2
_CHANCE = 1e-6  # of a row by accident that opens it


class CircuitState(Enum):
    """Whether calls go through: all, none, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class _Failure(NamedTuple):
    """Call `number` failed, when `begun` calls had begun."""

    number: int
    begun: int


class Circuit:
    """One target's circuit.

    A call that was let through belongs to an `epoch`; what it reports counts only while that
    lasts. `openings` is how often it opened; `opens_at` when an open one becomes half-open.
    Calls are numbered as they begin, and `best` is the latest one that was answered well.
    """

    __slots__ = (
        "_begun", "_calls", "_ended", "_failure_ratio", "_failures",
        "_first_open_s", "_in_turn", "_max_open_s", "_min_calls", "_open_s", "_past", "_row",
        "_slice_end", "_slice_s", "_successes", "consecutive", "epoch", "is_closed", "openings",
        "opens_at", "permits", "state",
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
        self.consecutive = consecutive
        self._first_open_s = self._open_s = open_s
        self._max_open_s = max_open_s
        self.state = CircuitState.CLOSED
        self.is_closed = True  # the same, at a third of the price
        self.epoch = 0
        self.openings = 0
        self.opens_at = 0.0
        self.permits = 0
        self._successes = 0
        self._in_turn = 0  # failures of probes since the last success
        self._past: deque[tuple[float, int, int]] = deque()  # slices: when begun, calls, failures
        self._forget()

    def _forget(self) -> None:
        self._past.clear()
        self._row: list[_Failure] = []  # of calls after the best one
        self._begun = self._ended = self._calls = self._failures = 0
        self._slice_end = 0.0  # of the present slice; its calls and failures are not in `_past`

    def began(self) -> None:
        """A call begins."""
        self._begun += 1

    @property
    def failures(self) -> int:
        """Calls that failed in the window, which stands still while it is not closed."""
        return self._failures + sum(failures for _, _, failures in self._past)

    @property
    def can_admit(self) -> bool:
        """Whether it is half-open, with a permit left."""
        return self.state is CircuitState.HALF_OPEN and self.permits > 0

    def admit(self) -> bool:
        """A call goes through one that is not closed; returns whether there was a permit for it.

        Who goes without one owes it: what its end gives back lets nobody else through.
        """
        had_permit = self.can_admit
        self.permits -= self.state is CircuitState.HALF_OPEN
        return had_permit

    def succeeded(self, epoch: int, number: int, now: float, *, is_first: bool) -> bool:
        """Call `number` was answered. Returns whether this changed the state."""
        if epoch != self.epoch:
            return False
        if self.is_closed:
            if now >= self._slice_end:
                self._next_slice(now)
            if self._row:
                self._row = [other for other in self._row if other.number > number]
            self._calls += 1
            if is_first:
                self._ended += 1
            return False
        self._open_s = self._first_open_s
        if self.state is CircuitState.OPEN:  # it was let through all the same
            self.half_open()
            return True
        self.permits += 1 + self._in_turn
        self._in_turn = 0
        self._successes += 1
        if self._successes < PROBES:
            return False
        self.state = CircuitState.CLOSED
        self.is_closed = True
        self.epoch += 1
        self._forget()
        return True

    def failed(
        self, epoch: int, number: int, now: float, *, best: int, begun: int, refused: float = 0.0
    ) -> bool:
        """Call `number` of the `begun` ones failed: evidence. Returns whether this opened it.

        `refused`: the share of calls that fail for their own sake.
        """
        if epoch != self.epoch:
            return False
        if self.is_closed:
            if now >= self._slice_end:
                self._next_slice(now)
            self._ended += 1
            self._calls += 1
            self._failures += 1
            if number > best:
                self._row.append(_Failure(number, begun))
            if not (self._is_row(best, refused) or self._is_failing(refused)):
                return False
        elif self.state is CircuitState.HALF_OPEN:
            self._in_turn += 1  # its permit waits for a success: a dead target gets three calls
            if self._in_turn < PROBES:
                return False
        else:
            return False
        self._open(now)
        return True

    def gave_up(self, epoch: int, *, is_first: bool) -> bool:
        """A call ended without saying anything; returns whether a permit is free again."""
        if epoch != self.epoch:
            return False
        if self.state is CircuitState.HALF_OPEN:
            self.permits += 1
            return True
        self._ended += is_first
        return False

    def is_untroubled(self, now: float) -> bool:
        """Whether it is closed and knows of no failure, or of none within its window."""
        if not self.is_closed or now >= self._slice_end + self._slice_s * _SLICES:
            return self.is_closed
        return not (self._row or self._failures or any(failed for _, _, failed in self._past))

    def half_open(self) -> None:
        """It has been open long enough: let some probes through."""
        self.state = CircuitState.HALF_OPEN
        self.epoch += 1
        self.permits = PROBES
        self._successes = self._in_turn = 0

    def _open(self, now: float) -> None:
        self.state = CircuitState.OPEN
        self.is_closed = False
        self.epoch += 1
        self.openings += 1
        self.opens_at = now + self._open_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._open_s = min(self._open_s * 2, self._max_open_s)

    def _next_slice(self, now: float) -> None:
        slice_s = self._slice_s
        if self._calls:
            self._past.append((self._slice_end - slice_s, self._calls, self._failures))
        while self._past and self._past[0][0] <= now - slice_s * _SLICES:
            self._past.popleft()
        self._calls = self._failures = 0
        self._slice_end = now + slice_s

    def _is_row(self, best: int, refused: float) -> bool:
        """Many in a row: half of those that had begun after the best one when the first failed.

        A fast failure overtakes answers that are on their way: that alone is no row. Nor is what
        chance makes of records that are refused one by one. Calls that began later do not count:
        while a target dies each failure makes room for one of them.
        """
        row = len(self._row)
        if row < self.consecutive or 2 * row < self._row[0].begun - best:
            return False
        return refused**row < _CHANCE

    def _is_failing(self, refused: float) -> bool:
        """Half of the window's calls that need not fail, those in flight being good ones."""
        failures = self.failures
        ratio = self._failure_ratio + (1 - self._failure_ratio) * refused
        if failures < ratio * self._min_calls:
            return False
        calls = self._calls + sum(calls for _, calls, _ in self._past)
        in_flight = self._begun - self._ended
        return calls >= self._min_calls and failures >= ratio * (calls + in_flight)
