"""Adaptive concurrency: additive increase, multiplicative decrease. Time is an argument.

TCP's congestion avoidance (Jacobson, 1988), as Vector and the AWS SDKs use it for requests.
"""

from __future__ import annotations

from enum import Enum

_SMALLEST_ROUND = 4
_IN_USE = 0.8  # of the limit, or growing it would mean nothing
_STEP = 0.05
_CUT = 0.9
_COOL_S = 5.0
_TIMEOUTS = 0.2  # of a round: the target is overloaded, too


class Outcome(Enum):
    """What a call says of its target's load."""

    GOOD = "good"  # at the first try
    OVERLOAD = "overload"
    TIMEOUT = "timeout"
    ERROR = "error"
    NEUTRAL = "neutral"


class Aimd:
    """The limit of one target. Calls that began before the last cut say nothing."""

    def __init__(self, least: int, most: int, start: int) -> None:
        self._least = least
        self._most = most
        self._exact = float(min(max(start, least), most))
        self.limit = int(self._exact)
        self.cuts = 0
        self._is_starting = True
        self._cool_until = 0.0
        self._begin_round()

    def _begin_round(self) -> None:
        self._good = 0
        self._timeouts = 0
        self._peak = 0

    def began(self, in_flight: int) -> int:
        """A call begins, `in_flight` with it; returns what `ended` wants to know."""
        self._peak = max(self._peak, in_flight)
        return self.cuts

    def ended(self, ticket: int, outcome: Outcome, now: float) -> None:
        """The call of `ticket` ended."""
        if ticket != self.cuts or outcome is Outcome.NEUTRAL:
            return
        if outcome is Outcome.GOOD:
            self._good += 1
            if self._good >= max(self._exact, _SMALLEST_ROUND):
                self._grow(now)
        elif outcome is Outcome.ERROR:
            self._begin_round()
        elif outcome is Outcome.OVERLOAD:
            self._cut(now)
        else:
            self._timeouts += 1
            if self._timeouts >= _TIMEOUTS * max(self._exact, _SMALLEST_ROUND):
                self._cut(now)

    def _grow(self, now: float) -> None:
        if self._peak >= _IN_USE * self.limit and now >= self._cool_until:
            step = self._exact if self._is_starting else max(1.0, self._exact * _STEP)
            self._exact = min(float(self._most), self._exact + step)
            self.limit = int(self._exact)
        self._begin_round()

    def _cut(self, now: float) -> None:
        self._exact = max(float(self._least), self._exact * _CUT)
        self.limit = int(self._exact)
        self.cuts += 1
        self._is_starting = False
        self._cool_until = now + _COOL_S
        self._begin_round()
