"""What a monitor counts of calls: the same, however many wait to be counted."""

from __future__ import annotations

from bisect import bisect_left
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.call_metrics import BOUNDS_S, CallMetrics, Durations, Slow
from streamproc.counters import StageMetrics

SECONDS = st.floats(0, 400) | st.sampled_from(BOUNDS_S)


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_each_is_in_the_first_bucket_that_it_fits_in(
    some: list[float], others: list[float]
) -> None:
    """Whatever was counted before; a bound belongs to what is below it."""
    durations, more = Durations(), Durations()
    for seconds in some:
        durations.took(seconds)
    durations.settled()
    for seconds in others:
        more.took(seconds)
    durations.add(more)
    counts = [0] * (len(BOUNDS_S) + 1)
    for seconds in some + others:
        counts[bisect_left(BOUNDS_S, seconds)] += 1
    assert durations.counts == counts
    assert durations.total_s == pytest.approx(fsum(some + others))


def test_what_waits_to_be_counted_is_bounded_and_counted_once() -> None:
    """Of copies, sums and the counts themselves, as often as somebody looks."""
    metrics = CallMetrics()
    for i in range(10_500):
        metrics.took(f"t{i % 3}", "ok", 200 if i % 2 else None, 0.01)
        metrics.record_s["s"].took(0.02)
        assert len(metrics.attempts) < 1_001
        assert len(metrics.record_s["s"].recent_s) < 1_001
    for seen in (metrics.copy(), metrics.copy(), metrics.settled()):
        assert sum(seen.requests.values()) == 10_500
        assert seen.requests["t0", "ok", "2xx"] == 1_750
        assert [sum(seen.request_s[f"t{i}"].counts) for i in range(3)] == [3_500] * 3
    assert sum(metrics.copy().record_s["s"].counts) == 10_500
    total = CallMetrics()
    for _ in range(2):  # as the sum over workers is made, each time anew
        total.reset()
        total.add(metrics)
        total.add(metrics.copy())
    assert sum(total.requests.values()) == 21_000


def test_the_slowest_are_kept() -> None:
    """Asked before one is made; after a reset others are."""
    metrics = CallMetrics()
    for _ in range(2):
        for i in [*range(50), *range(50)]:
            if i > metrics.slow_s:
                metrics.note(Slow(float(i), "s", str(i)))
        assert sorted(each.seconds for each in metrics.slowest) == [
            45,
            45,
            46,
            46,
            47,
            47,
            48,
            48,
            49,
            49,
        ]
        metrics.reset()
        assert metrics.slowest == []


def test_who_begins_again_has_nothing_of_before() -> None:
    """Not even calls that an aborted run has not timed, or was about to make."""
    counts = StageMetrics(calls=3, untimed=5, ahead=2, recent=[0.1])
    counts.others["vetoed"] += 1
    counts.reset()
    assert counts == StageMetrics()
