"""Calls: wherever one is made, it is counted, timed and told, once."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from msgspec import Struct

from streamproc import Pipeline
from streamproc.config.load import resolve
from streamproc.counters import StageMetrics
from streamproc.engines.executor import Executor
from streamproc.interfaces import (
    CallEnded,
    CallFailed,
    CallsEnded,
    CallStarted,
    Stage,
    StageObserver,
)

COUNT = 300


def plain(record: dict[str, Any]) -> dict[str, Any]:
    if record["n"] % 3 == 0:
        raise ValueError("three")
    return {"done": True}


async def awaited(record: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return plain(record)


class Ears:
    """An audience that wants to hear everything of calls."""

    wanted: frozenset[type[Struct]] = frozenset({CallStarted, CallEnded, CallsEnded, CallFailed})
    follow = None

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, event: Struct) -> None:
        self.heard.append(event)

    def of(self, kind: type[Struct]) -> list[Any]:
        return [each for each in self.heard if type(each) is kind]


def ran(stages: list[dict[str, Any]], audience: Any = None, count: int = COUNT) -> dict[str, Any]:
    """What the summary says of the stage `a`, the first of `stages`."""
    settings = resolve({"stage": stages})
    pipeline = Pipeline.from_settings(settings, audience)
    records = [{"n": n} for n in range(count)]
    return dict(pipeline.run_sync(records, []).stages["a"])


def stage(function: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "python": f"{__name__}:{function}", **more}


PATHS = [
    pytest.param([stage("plain")], id="some at once"),
    pytest.param([stage("plain", when="n > `-1`")], id="one by one"),
    pytest.param([stage("awaited")], id="awaited, one stage"),
    pytest.param([stage("awaited"), stage("plain", "b", when="`false`")], id="awaited, of two"),
    pytest.param([stage("plain"), stage("awaited", "b", when="`false`")], id="plain, of a mixture"),
    pytest.param([stage("plain", retry={"attempts": 2})], id="policies"),
]


@pytest.mark.parametrize(("count", "failed"), [(5, 2), (COUNT, 100)], ids=["few", "many"])
@pytest.mark.parametrize("stages", PATHS)
def test_each_call_is_counted_and_told_once(
    stages: list[dict[str, Any]], count: int, failed: int
) -> None:
    """The same counts whether somebody listens or not, and in what is heard."""
    ears = Ears()
    alone, heard = ran(stages, count=count), ran(stages, ears, count)
    for counts in (alone, heard):
        assert (counts["calls"], counts["failed_calls"]) == (count, failed)
        assert counts["total_s"] > 0
        assert counts["mean_s"] == pytest.approx(counts["total_s"] / count, rel=0.01, abs=1e-6)
    ends, batches = ears.of(CallEnded), ears.of(CallsEnded)
    assert len(ends) + sum(each.calls for each in batches) == count
    assert sum(each.outcome != "ok" for each in ends) + sum(b.failed for b in batches) == failed
    assert [each.message for each in ears.of(CallFailed)] == ["ValueError: three"] * failed
    assert len(ears.of(CallStarted)) == len(ends)


def test_what_is_waited_for_has_percentiles() -> None:
    assert ran([stage("plain")])["p50_s"] is None
    assert ran([stage("awaited")])["p50_s"] > 0


def test_the_time_of_a_call_is_that_between_two_looks_at_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("streamproc.engines.executor.perf_counter", lambda: next(ticks))
    one_by_one = ran([stage("plain", when="`true`")])
    assert one_by_one["total_s"] == COUNT


def test_an_attempt_that_is_aborted_is_given_up() -> None:
    """Who counts what is under way has an end for each start."""

    class Aborted:
        attempts = 0

        def begin(self, timed: Any) -> None:
            self.attempts += 1

        def end_failed(self, error: BaseException) -> BaseException:
            raise error

    class Enricher:
        mode = "awaited"

        async def call(self, record: Any) -> Any:
            raise asyncio.CancelledError

    ears, enricher = Ears(), Enricher()
    counts = StageMetrics()
    executor = Executor(Stage("a", enricher, StageObserver("a", counts, ears)))  # type: ignore[arg-type]

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await executor.awaited({}, Aborted())

    asyncio.run(main())
    assert [each.outcome for each in ears.of(CallEnded)] == ["given_up"]
    assert (counts.settled().calls, counts.failed_calls) == (0, 0)


def test_percentiles_are_near_and_nothing_piles_up() -> None:
    """Within 4%, and durations that are not counted yet are few."""
    counts = StageMetrics()
    durations = [1e-9 * 1.01**k for k in range(3000)]
    for each in durations:
        counts.took(each)
    assert len(counts.recent) < 2000
    for share in (0.01, 0.5, 0.99, 1.0):
        exact = durations[max(0, int(share * len(durations)) - 1)]
        assert counts.percentile_s(share) == pytest.approx(exact, rel=0.04)
    assert counts.calls == len(durations)
    assert counts.total_s == pytest.approx(sum(durations))


def test_calls_without_a_time_took_as_long_as_others() -> None:
    counts = StageMetrics()
    for _ in range(2):
        counts.took(3.0)
        counts.untimed += 7
        counts.settled()
    assert (counts.calls, counts.total_s) == (16, 48.0)


def test_durations_beyond_all_bounds_are_counted() -> None:
    counts = StageMetrics()
    for seconds in (0.0, 1e-30, 1e30):
        counts.took(seconds)
    assert sum(counts.settled().buckets) == counts.calls == 3


def test_counts_of_others_are_added_with_what_is_recent() -> None:
    one, other = StageMetrics(), StageMetrics(retries=2)
    one.took(1.0)
    other.took(3.0)
    one.add(other)
    assert (one.calls, one.total_s, one.retries, sum(one.buckets)) == (2, 4.0, 2, 2)
    one.reset()
    assert (one.calls, one.total_s, one.percentile_s(0.5)) == (0, 0, None)
