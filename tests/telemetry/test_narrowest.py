"""Which part of a pipeline is said to hold it back."""

from __future__ import annotations

from typing import Any

from streamproc.counters import RunCounters, StageMetrics
from streamproc.telemetry.narrowest import Judge, Narrowest
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.summary import Summary
from streamproc.waits import Wait


class Told:
    """In the place of a `Bottleneck`."""

    wait: Wait | None = None

    def reading(self) -> Wait | None:
        return self.wait


def after(looks: list[tuple[dict[str, StageMetrics], int, int]], told: Any = None) -> Narrowest:
    """What is said after some seconds: counts by stage, records that call, and that wait."""
    judge = Judge(told or Told(), ["first", "second"], most_in_flight=4, window_records=1000)
    for second, (calls, calling, waiting) in enumerate(looks):
        summary = Summary.of(RunCounters(), float(second), 0, calls)
        found = judge.look(Reading(summary, calling=calling, waiting=waiting))
    return found


def timed(calls: int, seconds: float) -> StageMetrics:
    tally = StageMetrics()
    for _ in range(calls):
        tally.took(seconds)
    return tally


def test_a_stage_that_takes_the_time() -> None:
    looks = [({"first": timed(n, 0.1), "second": timed(n, 0.5)}, 4, 10) for n in range(5)]
    assert after(looks) == Narrowest("stage", "second")


def test_a_stage_of_which_nothing_comes_back() -> None:
    """All that is in a call hangs there: no time has been counted."""
    looks = [({"first": timed(4, 0.1), "second": StageMetrics()}, 4, 10) for _ in range(5)]
    assert after(looks) == Narrowest("stage", "second")


def test_an_input_that_is_slow() -> None:
    """Calls take long, and yet there is room for more of them."""
    looks = [({"first": timed(n, 0.1), "second": timed(n, 0.9)}, 1, 0) for n in range(5)]
    assert after(looks) == Narrowest("input")


def test_plain_code_that_keeps_the_loop() -> None:
    """It is called as records come, so that none is seen waiting."""
    looks = [
        ({"first": StageMetrics(calls=n, total_s=0.8 * n), "second": StageMetrics()}, 0, 0)
        for n in range(5)
    ]
    assert after(looks) == Narrowest("stage", "first")


def test_what_calls_wait_for_comes_first() -> None:
    told = Told()
    looks = [({"first": timed(n, 0.1), "second": timed(n, 0.5)}, 4, 10) for n in range(5)]
    for wait, part in (
        (Wait("rate_limited", "t", 3, stage="first"), "stage"),
        (Wait("reader"), "output"),
    ):
        told.wait = wait
        assert after(looks, told) == Narrowest(part, wait.stage, wait)


def test_nothing_is_said_at_once() -> None:
    assert after([({"first": timed(1, 9.0)}, 4, 10)]).part == ""
