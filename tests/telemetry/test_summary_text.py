"""The summary for people: which stage takes the time."""

from __future__ import annotations

import pytest

from streamproc.counters import RunCounters, StageMetrics
from streamproc.telemetry.summary import Summary


def text(**calls: StageMetrics) -> str:
    return Summary.of(RunCounters(), 1.0, 0, calls).text()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (12.34, "12.3 s"),
        (0.9999, "1 s"),
        (0.0123, "12.3 ms"),
        (0.00045, "450 µs"),
        (7e-7, "700 ns"),
    ],
)
def test_stages_are_compared(seconds: float, shown: str) -> None:
    of_one, of_other = (
        StageMetrics(calls=1000, total_s=1000 * seconds),
        StageMetrics(calls=1, total_s=2),
    )
    assert text(a=of_one, b=of_other).endswith(
        f"; a: 1,000 calls, {shown} each; b: 1 call, 2 s each"
    )


def test_the_rate_is_of_records_that_are_done() -> None:
    """Not of those that wait, were left, or were done before a resume."""
    tally = RunCounters(lines=100, ok=20, failed=10, skipped=30, unprocessed=15)
    assert Summary.of(tally, 2.0, 0).records_per_second == 15.0


def test_one_of_a_kind_is_one() -> None:
    one = StageMetrics(has_policies=True, requests=1, retries=1, cache_hits=1)
    assert text(a=one).endswith("1 request, 1 retry, 1 cache hit")
    two = StageMetrics(has_policies=True, requests=2, retries=2, cache_hits=2)
    assert text(a=two).endswith("2 requests, 2 retries, 2 cache hits")


def test_one_stage_is_not() -> None:
    """The records per second say it; what it had nothing for is told."""
    called = StageMetrics(has_policies=True, calls=2, total_s=1.0, not_found=1)
    assert text(a=called, b=StageMetrics()).endswith("; a: 1 not found (404)")
