"""How long a target may be away: 69, or its records fail; in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from simulated import OUTAGE, Named, ask, now, results, settle, site, start

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.http.contract import Target
from streamproc.policies.admission import Admission
from streamproc.policies.circuit import PROBES
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate
from streamproc.units import Rate

RECORDS = Target("http", "named.by.a.record", 80, is_from_record=True)
TEN = [f"{k}" for k in range(10)]


def wait_for(seconds: float, status: int = 429) -> CallError:
    """The target asks for it."""
    return CallError(
        "throttled", f"{status}", again=True, throttled=True, after_s=seconds, status=status
    )


def test_a_target_that_stays_away_ends_the_run() -> None:
    """After `max_wait` all who wait hear of it, and are told what they can do."""

    async def main() -> None:
        named, where = Named(OUTAGE), site(max_wait_s=60.0)
        call = stack([RetryPolicy(attempts=9), CircuitBreaker()], named, where)
        tasks = start(call, 20)
        began = now()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert 60 <= now() - began <= 61
        (error, *_) = [task.exception() for task in tasks if task.done()]
        assert isinstance(error, UnavailableError)
        assert "s: t has been unavailable for 60 s" in str(error)
        assert "breaker.max_wait is 60 s" in str(error)
        assert "500" in str(error)
        assert "--set s.breaker=false" in str(error)
        assert len(named.begun) <= 20 + 5 * PROBES
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_only_time_in_which_calls_wait_counts() -> None:
    """Hours without a record, and minutes with one that comes and goes."""

    async def main() -> None:
        named, where = Named(OUTAGE), site()
        call = CircuitBreaker(open=100_000, max_open=100_000).wrap(named, where)
        await results(ask(call, *TEN))
        await asyncio.sleep(5000)
        for _ in range(2):
            tasks = ask(call, "a", "b")
            await asyncio.sleep(100)
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await results(tasks)
            await asyncio.sleep(5000)
        began = now()
        outcomes = await results(ask(call, "a", "b"))
        assert {type(each) for each in outcomes} == {UnavailableError}
        assert now() - began == pytest.approx(100, abs=0.1)

    simulate(main())


def test_a_success_starts_the_clock_again() -> None:
    """Away for 200 s and one answer: 300 s more from there."""

    async def main() -> None:
        named = Named(OUTAGE)
        retry = RetryPolicy(
            attempts=999, max_delay=0.01, max_elapsed=1e9
        )  # who backs off does not wait
        call = stack([retry, CircuitBreaker(consecutive=1, max_open=20)], named, site())
        tasks = ask(call, *"abcd")
        await asyncio.sleep(200)
        named.errors = {"a": None}
        assert await tasks[0] == "ok"
        answered_at = now()
        assert answered_at < 1299
        await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_EXCEPTION)
        assert now() == pytest.approx(answered_at + 300, abs=10)
        for task in tasks:
            task.cancel()
        assert UnavailableError in {type(each) for each in await results(tasks)}

    simulate(main())


def test_records_of_a_target_that_they_name_fail_alone() -> None:
    """After 30 s without a success, then at once, until a probe is answered."""

    async def main() -> None:
        named = Named(OUTAGE)
        call = CircuitBreaker().wrap(named, site())
        await results(ask(call, *TEN, target=RECORDS))
        at = now()
        named.seconds = 1000.0  # probes hang: nothing is known for long
        tasks = ask(call, *"abcdef", target=RECORDS)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert 30 <= now() - at <= 31
        await settle()
        failed = [task.exception() for task in tasks if task.done()]
        assert [each.kind for each in failed if isinstance(each, CallError)] == ["unavailable"] * 3
        assert "named.by.a.record" in str(failed[0])
        assert "500" in str(failed[0])
        begun = len(named.begun)
        for k in range(20):
            at = now()
            (outcome,) = await results(ask(call, f"next {k}", target=RECORDS))
            assert (outcome.kind, now()) == ("unavailable", at)
        assert len(named.begun) == begun
        for task in tasks:
            task.cancel()
        await results(tasks)
        named.error, named.seconds = None, 0.01  # their permits are there again
        assert await results(ask(call, "a", target=RECORDS)) == ["ok"]
        assert await results(ask(call, *TEN, target=RECORDS)) == ["ok"] * 10

    simulate(main())


def test_a_target_of_records_is_asked_now_and_then() -> None:
    """A record that comes when the circuit may be half-open is a probe, and no other one is."""

    async def main() -> None:
        named = Named(OUTAGE)
        call = stack([RetryPolicy(), CircuitBreaker()], named, site())
        outcomes = await results(ask(call, *TEN, *"abcdef", target=RECORDS))
        assert {each.kind for each in outcomes} <= {"unavailable", "http_status"}
        named.error = None
        began, kinds = now(), []
        while not kinds or kinds[-1] != "ok":
            (outcome,) = await results(ask(call, "next", target=RECORDS))
            kinds.append(outcome if outcome == "ok" else outcome.kind)
            await asyncio.sleep(1)
        assert set(kinds[:-1]) <= {"unavailable"}
        assert now() - began < 75
        assert await results(ask(call, *TEN, target=RECORDS)) == ["ok"] * 10

    simulate(main())


def test_other_targets_go_on() -> None:
    """Also those that records name."""

    async def main() -> None:
        named = Named(OUTAGE)
        call = CircuitBreaker().wrap(named, site())
        await results(ask(call, *TEN, target=RECORDS))
        named.error, at = None, now()
        other = Target("http", "another", 80, is_from_record=True)
        assert await results(ask(call, *TEN, target=other)) == ["ok"] * 10
        assert now() - at < 0.1

    simulate(main())


def test_a_long_pause_fails_the_records_that_name_its_target() -> None:
    """The one that heard of it, those that wait, those that come; and nothing else."""

    async def main() -> None:
        named = Named()
        named.errors = {"first": wait_for(1000.0)}
        call = stack([RetryPolicy(), Admission()], named, site())
        outcomes = await results(ask(call, "first", target=RECORDS))
        outcomes += await results(ask(call, *TEN, target=RECORDS))
        assert [each.kind for each in outcomes] == ["unavailable"] * 11
        assert "Retry-After" in outcomes[0].message
        assert "1000 s" in outcomes[0].message
        assert now() == pytest.approx(1000.0, abs=0.1)  # where the clock began
        assert await results(ask(call, *TEN)) == ["ok"] * 10
        await asyncio.sleep(1001)
        assert await results(ask(call, *TEN, target=RECORDS)) == ["ok"] * 10

    simulate(main())


def test_a_long_pause_of_the_runs_own_target_is_waited_for() -> None:
    """Up to `max_wait`."""

    async def main() -> None:
        named = Named()
        named.errors = {"first": wait_for(299.0)}
        call = Admission().wrap(named, site())
        await results(ask(call, "first"))
        assert await results(ask(call, *TEN)) == ["ok"] * 10
        assert now() >= 1299

    simulate(main())


def test_a_pause_that_nobody_waits_for_ends_the_run() -> None:
    """Whoever hears it: the message has the value, and what the limit is."""

    async def main() -> None:
        named = Named(wait_for(1000.0))
        call = stack([RetryPolicy(), Admission(CircuitBreaker())], named, site())
        (error,) = await results(ask(call, "first"))
        assert isinstance(error, UnavailableError)
        assert "s: t asks to wait for 1000 s" in str(error)
        assert "breaker.max_wait = 300 s" in str(error)

    simulate(main())


@pytest.mark.parametrize("after_s", [200.0, 1000.0])
def test_with_a_fallback_nobody_waits_for_a_long_pause(after_s: float) -> None:
    """Nor does the record that heard of it first."""

    async def main() -> None:
        named = Named(wait_for(after_s))
        call = stack([RetryPolicy(), Admission()], named, site(has_fallback=True))
        outcomes: list[Any] = await results(ask(call, "first"))
        outcomes += await results(ask(call, *TEN))
        assert {type(each) for each in outcomes} == {CircuitOpenError}
        assert now() == pytest.approx(1000.0, abs=0.1)
        assert len(named.begun) == 1

    simulate(main())


def test_a_pause_is_no_outage() -> None:
    """It says when it will answer again, though others that were on their way failed after it."""

    async def main() -> None:
        named = Named(OUTAGE)
        named.errors, named.takes_s = {"busy": wait_for(14.0)}, {"busy": 0.001}
        call = CircuitBreaker(open=15.0).wrap(named, site(max_wait_s=10.0))
        await results(ask(call, "busy", *TEN))
        named.error = None
        assert await results(ask(call, "late")) == ["ok"]
        assert now() > 1014

    simulate(main())


def test_a_half_open_circuit_waits_for_a_pause() -> None:
    """One of the probes was told to come later."""

    async def main() -> None:
        named = Named(OUTAGE)
        call = CircuitBreaker().wrap(named, site(max_wait_s=10.0))
        await results(ask(call, *TEN))
        named.error, named.errors = None, {"busy": wait_for(11.0), "a": OUTAGE, "b": OUTAGE}
        outcomes = await results(ask(call, "busy", "a", "b", *TEN))
        assert outcomes[3:] == ["ok"] * 10

    simulate(main())


def test_to_wait_for_a_token_is_no_outage() -> None:
    """Probes would be let through, but only so many calls are made in a minute."""

    async def main() -> None:
        named = Named(OUTAGE)
        layer = Admission(CircuitBreaker(consecutive=1), RateLimit(limit=Rate(1 / 20), burst=1))
        call = layer.wrap(named, site(max_wait_s=10.0))
        await results(ask(call, "first"))
        named.error = None
        assert await results(ask(call, "a", "b", "c")) == ["ok"] * 3
        assert now() == pytest.approx(1060.0, abs=0.1)

    simulate(main())
