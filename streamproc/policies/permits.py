"""How many calls a target gets at once: the numbers; waiting is `policies.gate`."""

from __future__ import annotations

from collections.abc import Callable

from streamproc.errors import CallError
from streamproc.policies.aimd import Aimd


class Permits:
    """A target gets a fixed number of calls at once, as a semaphore would give it."""

    __slots__ = ("in_flight", "limit")

    is_adaptive = False

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0

    @property
    def is_fresh(self) -> bool:
        """Whether a new one would be the same."""
        return not self.in_flight

    def began(self) -> int:
        """A call takes one. Returns 0, where the adaptive kind returns its number of cuts."""
        self.in_flight += 1
        return 0

    def succeeded(self, cuts: int, *, is_first: bool) -> None:
        """It was answered well, at the first attempt or a later one."""
        self.in_flight -= 1

    def failed(self, cuts: int, error: CallError) -> None:
        """It failed."""
        self.in_flight -= 1

    def gave_up(self) -> None:
        """It ended without saying anything."""
        self.in_flight -= 1


class AdaptivePermits(Permits):
    """Their number is learnt (`aimd`), between `least` and `most`, and kept for each target."""

    __slots__ = ("_aimd", "_first", "_now")

    is_adaptive = True

    def __init__(self, least: int, most: int, start: int, now: Callable[[], float]) -> None:
        self._aimd = Aimd(least, most, start)
        self._first = self._aimd.limit
        self._now = now
        super().__init__(self._first)

    @property
    def is_fresh(self) -> bool:
        """Whether a new one would be the same."""
        return not self.in_flight and not self._aimd.cuts and self.limit == self._first

    def began(self) -> int:
        """A call takes one. Returns the number of cuts so far, which its end is told with."""
        self.in_flight += 1
        return self._aimd.began(self.in_flight)

    def succeeded(self, cuts: int, *, is_first: bool) -> None:
        """It was answered well, at the first attempt or a later one."""
        self.in_flight -= 1
        if is_first and self._aimd.succeeded(cuts):
            self._aimd.finish_round(self._now())
            self.limit = self._aimd.limit

    def failed(self, cuts: int, error: CallError) -> None:
        """It failed: of too much to do (429, 503, 529), of time, or of something else."""
        self.in_flight -= 1
        if error.throttled or error.status == 503:
            self._aimd.refused(cuts, self._now())
        elif error.kind in ("timeout", "deadline"):
            self._aimd.timed_out(cuts, self._now())
        elif error.is_outage:
            self._aimd.erred(cuts)
        self.limit = self._aimd.limit
