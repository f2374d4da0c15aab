"""The pause that a target asks for: Retry-After (RFC 9110 10.2.3, RFC 6585).

Moments are an argument, in seconds by any clock that runs evenly; nothing here waits.
"""

from __future__ import annotations

import random

LONG_S = 120.0  # a pause beyond it means: not available
_JITTER = 0.1  # on top of it, in which those who waited start one after the other
_MAX_JITTER_S = 1.0
_CLOCK_S = 0.005  # uvloop's clock counts whole ms and stands still during a turn of the loop


class Pause:
    """Nobody starts before `lasts_until`; then one by one, the next not before `shut_until`."""

    __slots__ = ("_ramp_until", "lasts_until", "length_s", "shut_until")

    def __init__(self) -> None:
        self.lasts_until = self.shut_until = self._ramp_until = self.length_s = 0.0

    def begin(self, now: float, length_s: float) -> None:
        """The target asked for `length_s`. It never ends earlier; one that ends later stays."""
        until = now + length_s + _CLOCK_S
        if until > self.lasts_until:
            jitter_s = min(length_s * _JITTER, _MAX_JITTER_S)
            self.length_s = length_s
            self.lasts_until = until
            self.shut_until = until + random.uniform(0, jitter_s / 2)
            self._ramp_until = until + jitter_s

    def started(self, now: float, left: int) -> None:
        """A call starts, and `left` others wait: they are spread over the rest of the jitter."""
        if now < self._ramp_until:
            step_s = (self._ramp_until - now) / (left + 1)
            self.shut_until = now + random.uniform(0, 2 * step_s)

    def is_long(self, now: float) -> bool:
        """Whether the pause is so long (over 120 s) that the target counts as not available."""
        return now < self.lasts_until and self.length_s > LONG_S

    def left_s(self, now: float) -> float:
        """What is left of it, no more than was asked for."""
        return min(self.lasts_until - now, self.length_s)
