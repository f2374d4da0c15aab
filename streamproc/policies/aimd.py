"""Adaptive concurrency: additive increase, multiplicative decrease (AIMD; Chiu and Jain, 1989).

TCP's slow start and congestion avoidance (V. Jacobson, 1988; RFC 5681), as Vector and the AWS SDKs
use them for requests: the limit doubles with each round of successes until the first refusal, then
grows by a twentieth with each, and by each refusal it falls to 90%. Moments are an argument, in
seconds by any clock that runs evenly; nothing here waits.
"""

from __future__ import annotations

_SMALLEST_ROUND = 4
_IN_USE = 0.8  # of the limit, or growing it would mean nothing
_STEP = 0.05
_CUT = 0.9
_COOL_S = 5.0
_TIMEOUTS = 0.2  # of a round: the target is overloaded, too


class Aimd:
    """How many calls one target gets at once.

    A call keeps the number of `cuts` when it began: what began before the last cut says
    nothing, for it met a target with more to do. Report its end with that number.
    """

    __slots__ = (
        "_cool_until", "_exact", "_good", "_is_starting", "_least", "_most", "_peak", "_round",
        "_timeouts", "cuts", "limit",
    )  # fmt: skip

    def __init__(self, least: int, most: int, start: int) -> None:
        self._least = least
        self._most = most
        self.cuts = 0
        self._is_starting = True
        self._cool_until = 0.0
        self._set(float(start))

    def _set(self, exact: float) -> None:
        self._exact = min(max(exact, float(self._least)), float(self._most))
        self.limit = int(self._exact)
        self._begin_round()

    def _begin_round(self) -> None:
        self._round = max(self.limit, _SMALLEST_ROUND)  # first-try successes that make one
        self._good = 0
        self._timeouts = 0
        self._peak = 0

    def began(self, in_flight: int) -> int:
        """A call begins, `in_flight` with it; returns the number of cuts so far."""
        if in_flight > self._peak:  # noqa: PLR1730 - max() costs more than all the rest
            self._peak = in_flight
        return self.cuts

    def succeeded(self, cuts: int) -> bool:
        """A call came back at the first try; returns whether `finish_round` is due."""
        if cuts != self.cuts:
            return False
        self._good += 1
        return self._good >= self._round

    def finish_round(self, now: float) -> None:
        """A round of successes is complete: grow, if the limit was in use and did not just fall."""
        if self._peak < _IN_USE * self.limit or now < self._cool_until:
            self._begin_round()
        elif self._is_starting:
            self._set(self._exact * 2)
        else:
            self._set(self._exact + max(1.0, self._exact * _STEP))

    def refused(self, cuts: int, now: float) -> None:
        """A call was refused for want of room (429, 503, 529): the limit falls."""
        if cuts == self.cuts:
            self._cut(now)

    def timed_out(self, cuts: int, now: float) -> None:
        """A call timed out; a fifth of a round of them counts as a refusal."""
        if cuts == self.cuts:
            self._timeouts += 1
            if self._timeouts >= _TIMEOUTS * self._round:
                self._cut(now)

    def erred(self, cuts: int) -> None:
        """A call failed of something else, which tells nothing of room: the round starts again."""
        if cuts == self.cuts:
            self._begin_round()

    def _cut(self, now: float) -> None:
        self.cuts += 1
        self._is_starting = False
        self._cool_until = now + _COOL_S
        self._set(self._exact * _CUT)
