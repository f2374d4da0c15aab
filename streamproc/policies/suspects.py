"""Whose fault a failure is: the target's, or the call's own.

A call is *suspect* once another one, begun after it, was answered well when it had failed: the
target was up, and said no to this one alone. Most that a target refuses are known so within a
moment, those too that began in one burst with good ones. Only an answer at a first attempt tells
of others: one that had failed itself may be the first after an outage in which they all failed.

Some inputs are full of records that are refused. Their share of all calls is what failures may
come to while nothing is wrong with the target; a circuit counts from there.
"""

from __future__ import annotations

from collections.abc import Iterable

from streamproc.interfaces import Standing

_TWICE = 2  # failures of one call, others being answered: it is refused, not unlucky
_KEPT = 1 - 1 / 1000  # of what is remembered, per call: an input may be of another kind further on
_MOST = 0.9  # where nearly all fail a target that is down must still be noticed


class Suspects:
    """The suspects among one target's calls, which are numbered as they begin (`Standing.serial`).

    `best` is the latest one that was answered well.
    """

    __slots__ = ("_failed", "_open", "_refused", "_refused_at", "best")

    def __init__(self) -> None:
        self.best = 0
        self._failed = 0  # calls, ever
        self._open: dict[int, int] = {}  # which of them may be the target's fault; their numbers
        self._refused, self._refused_at = 0.0, 0  # how many, as remembered when so many had begun

    def answered(self, standing: Standing) -> None:
        """A call was answered well."""
        serial = standing.serial
        self.best = max(self.best, serial)
        if self._open and not standing.failures:
            self._open = {which: other for which, other in self._open.items() if other > serial}

    def failed(self, standing: Standing, begun: int) -> None:
        """An attempt of a call failed, when `begun` ones had begun."""
        standing.failures += 1
        if standing.failures == 1:
            self._failed += 1
            standing.failed_as = self._failed
            self._open[self._failed] = standing.serial
        elif standing.failures == _TWICE and standing in self:
            self._refused = self._remembered(begun) + 1
            self._refused_at = begun

    def __contains__(self, standing: Standing) -> bool:
        """Whether the fault is the call's own."""
        return standing.failures > 0 and standing.failed_as not in self._open

    def rank(self, standing: Standing) -> tuple[bool, bool, int]:
        """Probes go by this, the lowest first: calls that have not failed, then each in turn."""
        return standing in self, standing.failures > 0, standing.probes

    def explain(self, waiting: Iterable[Standing], row: int) -> bool:
        """Whether all of these may be at fault: suspects, or fewer failures than a row."""
        if len(self._open) < row:
            return all(standing.failures for standing in waiting)
        return all(standing in self for standing in waiting)

    def share(self, begun: int) -> float:
        """How many of the `begun` calls are refused for their own sake, the later ones most."""
        if not self._refused:
            return 0.0
        weights = (1 - _KEPT**begun) / (1 - _KEPT)
        return min(self._remembered(begun) / weights, _MOST)

    def _remembered(self, begun: int) -> float:
        return self._refused * _KEPT ** (begun - self._refused_at)
