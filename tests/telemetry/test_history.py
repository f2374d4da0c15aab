"""How a run went: a second each for a quarter of an hour, and all of it in bounds."""

from __future__ import annotations

from itertools import pairwise

from streamproc.counters import StageMetrics
from streamproc.telemetry.history import History, Latencies, Latency, Point


def point(second: int, p95_s: float = 0.1) -> Point:
    stages = {"s": Latency(10, p95_s / 2, p95_s)}
    return Point(float(second), second * 10, second * 9, second, 1, 2, 3, stages)


def test_a_run_of_days() -> None:
    """The last 15 minutes are whole; what was before is coarser, and begins where it began."""
    history = History()
    for second in range(200_000):
        history.add(point(second))
    times = [each.at_s for each in history.points]
    assert times == sorted(times)
    assert len(times) < 2500
    assert times[-900:] == [float(second) for second in range(199_100, 200_000)]
    assert times[0] < 1000
    assert max(after - before for before, after in pairwise(times)) < 1000
    assert history.points[0].ended == times[0] * 9


def test_a_slow_second_is_not_lost() -> None:
    """A coarse point is as slow as the slowest of those that it stands for."""
    history = History()
    for second in range(2000):
        history.add(point(second, 7.0 if second == 100 else 0.1))
    slow = [each for each in history.points if each.stages["s"].p95_s == 7.0]
    assert [100 <= each.at_s < 115 for each in slow] == [True]
    assert slow[0].stages["s"].calls == 150


def test_latencies_are_of_the_time_between() -> None:
    """What was slow before does not count."""
    tally, plain = StageMetrics(), StageMetrics(calls=10, total_s=5.0)
    latencies = Latencies({"s": tally, "plain": plain, "none": StageMetrics()})
    for _ in range(100):
        tally.took(10.0)
    first = latencies.take()
    assert set(first) == {"s", "plain"}
    assert first["plain"] == Latency(10, 0.5, 0.5)
    for _ in range(100):
        tally.took(0.001)
    second = latencies.take()
    assert set(second) == {"s"}
    assert second["s"].calls == 100
    assert second["s"].p95_s is not None
    assert second["s"].p95_s < 0.002
