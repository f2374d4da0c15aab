"""How a run went so far, in points: one a second for the last 15 minutes, fewer of before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc.counters import StageMetrics

_FINE = 900  # points that stand as they were taken: a second each, and so 15 minutes
_AT_ONCE = 15  # that become one afterwards, or twice as many, and so on
_COARSE = 960  # of those; then they become half as many


class Latency(Struct, frozen=True, array_like=True):
    """Calls of a stage between two points. Where nobody waits for them, both are their mean."""

    calls: int
    p50_s: float | None
    p95_s: float | None


class Point(Struct, frozen=True, array_like=True):
    """Counts since the run began, at `at_s`; what is where then; `stages` since the one before."""

    at_s: float
    received: int
    ended: int
    failed: int
    waiting: int
    calling: int
    finished: int
    stages: dict[str, Latency]


class History:
    """Points are added in one thread, and may be read in others."""

    def __init__(self) -> None:
        self._coarse: list[Point] = []
        self._fine: list[Point] = []
        self._at_once = _AT_ONCE

    def add(self, point: Point) -> None:
        """The last one."""
        self._fine.append(point)
        if len(self._fine) < _FINE + self._at_once:
            return
        self._coarse = [*self._coarse, merged(self._fine[: self._at_once])]
        self._fine = self._fine[self._at_once :]
        if len(self._coarse) >= _COARSE:
            pairs = zip(self._coarse[::2], self._coarse[1::2], strict=True)
            self._coarse = [merged(pair) for pair in pairs]
            self._at_once *= 2

    @property
    def last(self) -> Point | None:
        """The latest one."""
        return self._fine[-1] if self._fine else None

    @property
    def points(self) -> list[Point]:
        """All, the oldest first."""
        return [*self._coarse, *self._fine]


def merged(points: Sequence[Point]) -> Point:
    """One for all of them: the last, with the slowest that each stage was."""
    stages: dict[str, Latency] = {}
    for point in points:
        for name, each in point.stages.items():
            before = stages.get(name, Latency(0, None, None))
            stages[name] = Latency(
                before.calls + each.calls,
                _slower(before.p50_s, each.p50_s),
                _slower(before.p95_s, each.p95_s),
            )
    last = points[-1]
    return Point(
        last.at_s, last.received, last.ended, last.failed, last.waiting, last.calling,
        last.finished, stages,
    )  # fmt: skip


def _slower(one: float | None, other: float | None) -> float | None:
    known = [each for each in (one, other) if each is not None]
    return max(known, default=None)


class Latencies:
    """What `calls`, the counts of each stage, took since it was asked last."""

    def __init__(self, calls: Mapping[str, StageMetrics]) -> None:
        self._calls = calls
        self._before: dict[str, tuple[int, float, list[int]]] = {}

    def take(self) -> dict[str, Latency]:
        """By stage; without those that made no calls."""
        found = {}
        for name, tally in self._calls.items():
            calls, total_s, buckets = tally.settled().calls, tally.total_s, tally.buckets
            was_calls, was_s, was = self._before.get(name, (0, 0.0, [0] * len(buckets)))
            self._before[name] = calls, total_s, buckets.copy()
            if calls <= was_calls:
                continue
            new = StageMetrics(buckets=[now - then for now, then in zip(buckets, was, strict=True)])
            mean_s = (total_s - was_s) / (calls - was_calls)
            p50_s, p95_s = new.percentile_s(0.5), new.percentile_s(0.95)
            found[name] = Latency(
                calls - was_calls,
                round(mean_s if p50_s is None else p50_s, 9),
                round(mean_s if p95_s is None else p95_s, 9),
            )
        return found
