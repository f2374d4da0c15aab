"""The circuit breaker: what is evidence, and who may probe; in simulated time."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from simulated import (
    BUSY,
    OUTAGE,
    REFUSED,
    Asked,
    Named,
    Stay,
    Target,
    ask,
    counted,
    now,
    results,
    settle,
    site,
    start,
    workshop,
)  # fmt: skip

from streamproc.engines.capacity import CapacityLimiter
from streamproc.errors import CallError, CircuitOpenError, RecordError
from streamproc.interfaces import Inner
from streamproc.policies.admission import Admission
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import Concurrency, FixedConcurrency
from streamproc.policies.deadline import Deadline
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.policies.timeout import Timeout
from streamproc.trials.clock import simulate
from streamproc.units import Rate, Seconds

NO_DESCRIPTORS = CallError("connect", "too many open files", again=True)
OVERLOAD = CallError("http_status", "503", again=True, is_outage=True, status=503)
UNUSABLE = RecordError("bad_answer", "select found nothing")
TEN = [f"n{k}" for k in range(10)]


async def opened(call: Inner, target: Target | Named) -> float:
    """Ten failures in a row, then the target is well again; returns when."""
    target.error = OUTAGE
    await results(ask(call, *TEN))
    target.error = None
    return now()


# What is evidence


def test_ten_failures_in_a_row_open_it_and_records_wait() -> None:
    """Nobody is called for at least 4 s, then three probes close it, and nobody has failed."""

    async def main() -> None:
        target, where = Target(), site()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, where)
        at = await opened(call, target)
        assert await results(start(call, 50)) == ["ok"] * 50
        after = [each - at for each in begun[10:]]
        assert 4.0 <= after[0] <= 6.0
        assert sum(each < after[0] + target.seconds / 2 for each in after) == 3
        assert where.counts.circuit_opened == 1

    simulate(main())


@pytest.mark.parametrize(("calls", "opens"), [(9, False), (10, True)])
def test_a_call_is_evidence_once(calls: int, opens: bool) -> None:
    """Nine that are tried five times each fail with their own error; the tenth opens it."""

    async def main() -> None:
        named, where = Named(OUTAGE), site()
        call = stack([RetryPolicy(), CircuitBreaker()], named, where)
        tasks = ask(call, *TEN[:calls])
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert (where.counts.circuit_opened > 0) == opens
        if not opens:
            assert await results(tasks) == [OUTAGE] * 9
            assert len(named.begun) == 5 * 9
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_what_a_target_always_refuses_does_not_look_like_an_outage() -> None:
    """A fifth of 300 records are bad, tried five times each, with a window that they fill."""

    async def main() -> None:
        named, where = Named(), site()
        named.errors = {f"{k}": OUTAGE for k in range(0, 300, 5)}
        call = stack([RetryPolicy(), CircuitBreaker()], named, where)
        room = asyncio.Semaphore(16)

        async def record(name: str) -> Any:
            async with room:
                return await ask(call, name)[0]

        began = now()
        tasks = [asyncio.create_task(record(f"{k}")) for k in range(300)]
        outcomes = await results(tasks)
        assert [each == "ok" for each in outcomes] == [k % 5 > 0 for k in range(300)]
        assert where.counts.circuit_opened <= 1
        assert now() - began < 90

    simulate(main())


def test_ten_that_are_less_than_half_of_those_that_began_open_nothing() -> None:
    """Ten fast failures overtake eleven answers; with ten on their way they open it."""

    async def main(good: int) -> int:
        named, where = Named(seconds=0.5), site()
        named.errors = dict.fromkeys(TEN, OUTAGE)
        named.takes_s = dict.fromkeys(TEN, 0.01)
        call = CircuitBreaker().wrap(named, where)
        tasks = ask(call, *TEN, *[f"good {k}" for k in range(good)])
        await asyncio.sleep(0.1)
        found = where.counts.circuit_opened
        await results(tasks)
        return found

    assert simulate(main(11)) == 0
    assert simulate(main(10)) == 1


@pytest.mark.parametrize("error", [BUSY, REFUSED, NO_DESCRIPTORS, UNUSABLE, ValueError("mine")])
def test_what_is_no_outage_opens_nothing(error: Exception) -> None:
    """A refusal comes from a target that is alive, and our own trouble is not the target's."""

    async def main() -> None:
        named, where = Named(error), site()
        await results(start(CircuitBreaker().wrap(named, where), 100))
        assert (len(named.begun), where.counts.circuit_opened) == (100, 0)

    simulate(main())


@pytest.mark.parametrize("error", [BUSY, REFUSED, UNUSABLE, ValueError("mine")])
def test_an_answer_is_a_success_if_not_one_that_helps(error: Exception) -> None:
    """It ends a row of nine, so that nine more are no ten."""

    async def main() -> None:
        named, where = Named(OUTAGE), site()
        named.errors = {"answered": error}
        call = CircuitBreaker().wrap(named, where)
        for names in (TEN[:9], ["answered"], TEN[:9]):
            await results(ask(call, *names))
        assert where.counts.circuit_opened == 0

    simulate(main())


def test_a_lack_of_descriptors_says_nothing_at_all() -> None:
    """Neither a failure nor a success: nine in a row and one more are ten."""

    async def main() -> None:
        named, where = Named(OUTAGE), site()
        named.errors = {"ours": NO_DESCRIPTORS}
        call = CircuitBreaker().wrap(named, where)
        for names in (TEN[:9], ["ours"] * 5, TEN[9:]):
            await results(ask(call, *names))
        assert where.counts.circuit_opened == 1

    simulate(main())


@pytest.mark.parametrize("kind", ["deadline", "timeout"])
def test_an_attempt_that_a_time_limit_ends_is_a_failure(kind: str) -> None:
    """The record's own deadline too: a target that hangs is seen whichever is shorter."""

    async def main() -> None:
        async def hangs(call: Any, visit: Any) -> None:
            await asyncio.sleep(1000)

        where = site()
        layers = [Deadline(limit=Seconds(0.5))] if kind == "deadline" else []
        call = stack([*layers, CircuitBreaker(), Timeout()], hangs, where)
        async with workshop(100, 0.5, 30.0) as shop:
            tasks = [shop.fork(lambda visit: call(Asked(), visit), k).answer for k in range(10)]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {each.kind for each in outcomes} == {kind}
            assert where.counts.circuit_opened == 1
            assert shop.places.free == 100

    simulate(main())


def test_who_is_cancelled_says_nothing() -> None:
    """Calls in flight that nobody wants any more are no failures."""

    async def main() -> None:
        named, where = Named(seconds=1000), site()
        tasks = start(CircuitBreaker().wrap(named, where), 100)
        await settle()
        for task in tasks:
            task.cancel()
        await results(tasks)
        assert where.counts.circuit_opened == 0

    simulate(main())


@pytest.mark.parametrize(
    ("layer", "opens"),
    [
        (Admission(CircuitBreaker()), True),
        (Admission(CircuitBreaker(), concurrency=FixedConcurrency(200)), True),
        (Admission(CircuitBreaker(), concurrency=Concurrency(max=200, start=200)), False),
    ],
)
def test_a_503_while_others_are_answered(layer: Admission, opens: bool) -> None:
    """It is overload where the number of calls adapts to that, and else a failure."""

    async def main() -> None:
        named, where = Named(), site()
        named.errors = {f"{k}": OVERLOAD for k in range(0, 60, 2)}
        call = layer.wrap(named, where)
        for k in range(60):
            await results(ask(call, f"{k}"))
        assert (where.counts.circuit_opened > 0) == opens

    simulate(main())


def test_503_only_is_an_outage() -> None:
    """Also under adaptive concurrency: nobody is answered."""

    async def main() -> None:
        where = site()
        layer = Admission(CircuitBreaker(), concurrency=Concurrency(max=200))
        await results(start(layer.wrap(Named(OVERLOAD), where), 10))
        assert where.counts.circuit_opened == 1

    simulate(main())


def test_every_target_has_its_own() -> None:
    """One that is down says nothing about the others."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        at = await opened(call, named)
        assert await results(start(call, 5, target="other")) == ["ok"] * 5
        assert named.times(10) == [at] * 5

    simulate(main())


# Suspects


class Suspects:
    """Three calls failed, another one was answered after that, and then came an outage."""

    def __init__(self) -> None:
        self.named = Named(OUTAGE)
        self.where = site()
        self.call = CircuitBreaker().wrap(self.named, self.where)
        self.bad = [Asked(key=b"bad %d" % k) for k in range(3)]
        self.visits = [Stay() for _ in self.bad]

    async def make(self) -> None:
        await results(self.again())
        self.named.errors["good"] = None
        assert await results(ask(self.call, "good")) == ["ok"]
        await results(ask(self.call, *TEN))
        assert self.where.counts.circuit_opened == 1

    def again(self) -> list[asyncio.Task[Any]]:
        """Their next attempts."""
        return [asyncio.create_task(self._once(k)) for k in range(3)]

    async def _once(self, k: int) -> Any:
        try:
            return await self.call(self.bad[k], self.visits[k])
        finally:
            self.visits[k].release()


def test_suspects_pass_after_a_second_when_only_they_wait() -> None:
    """Through an open circuit, and what becomes of them says nothing."""

    async def main() -> None:
        they = Suspects()
        await they.make()
        at, before = now(), len(they.named.begun)
        await results(they.again())
        assert [at + 1 <= each <= at + 1.01 for each in they.named.times(before)] == [True] * 3
        await results(they.again())
        assert now() == pytest.approx(at + 2, abs=0.1)
        assert they.where.counts.circuit_opened == 1

    simulate(main())


def test_suspects_wait_while_somebody_else_does() -> None:
    """They are the last probes, though they are the oldest."""

    async def main() -> None:
        they = Suspects()
        await they.make()
        at, before = now(), len(they.named.begun)
        suspects = they.again()
        await asyncio.sleep(0.9)
        others = ask(they.call, "a", "b", "c", "d")
        they.named.error = None
        they.named.errors.update({f"bad {k}": OUTAGE for k in range(3)})
        assert await results(others) == ["ok"] * 4
        await results(suspects)
        assert they.named.names(before)[:4] == ["a", "b", "c", "d"]
        assert they.named.times(before)[0] >= at + 4
        assert they.where.counts.circuit_opened == 1

    simulate(main())


def test_suspects_that_fail_as_probes_do_not_open_it_again() -> None:
    """Half-open, and only they come: their permits come back, the circuit stays as it is."""

    async def main() -> None:
        they = Suspects()
        await they.make()
        await asyncio.sleep(7)
        for _ in range(5):
            await results(they.again())
        assert they.where.counts.circuit_opened == 1
        they.named.error = None
        at = now()
        assert await results(ask(they.call, "a", "b", "c")) == ["ok"] * 3
        assert now() - at < 0.1

    simulate(main())


# Probes


def test_first_come_first_served() -> None:
    """Records go on in the order in which they came to the closed door."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        await opened(call, named)
        names = [f"{k}" for k in range(30)]
        await results(ask(call, *names))
        assert named.names(10) == names

    simulate(main())


def test_probes_are_different_calls_in_turn() -> None:
    """Three, three others, and the first ones again only after all others."""

    async def main() -> None:
        named = Named(OUTAGE)
        names = [f"{k}" for k in range(8)]
        layers = [RetryPolicy(attempts=99, max_elapsed=1e9), CircuitBreaker(consecutive=8)]
        call = stack(layers, named, site(max_wait_s=1e9))
        tasks = ask(call, *names)
        await asyncio.sleep(400)
        probes = named.names(8)
        assert sorted(probes[:8]) == names
        assert sorted(probes[8:16]) == names
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_three_failures_in_turn_open_it_again() -> None:
    """Three calls a time, as long as it is away, and for twice as long each time."""

    async def main() -> None:
        named, where = Named(OUTAGE), site(max_wait_s=1e9)
        call = stack([RetryPolicy(attempts=99, max_elapsed=1e9), CircuitBreaker()], named, where)
        tasks = ask(call, *[f"{k}" for k in range(12)])
        await asyncio.sleep(60)
        at, *rounds = sorted(set(named.times(12)))
        assert 4 <= at - 1000.01 <= 6.01
        assert [named.times(12).count(each) for each in (at, *rounds)] == [3, 3, 3]
        assert 8 <= rounds[0] - at <= 12.1
        assert 16 <= rounds[1] - rounds[0] <= 24.1
        named.error = None
        assert await results(tasks) == ["ok"] * 12

    simulate(main())


@pytest.mark.parametrize("error", [REFUSED, BUSY, UNUSABLE, ValueError("mine")])
def test_any_answer_proves_that_the_target_is_back(error: Exception) -> None:
    """Three probes close it, and the rest follows at once."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        at = await opened(call, named)
        named.error = error
        tasks = start(call, 12)
        await results(tasks)
        assert len(named.begun) == 10 + 12
        assert now() - at < 6.5

    simulate(main())


@pytest.mark.parametrize(("error", "calls"), [(OUTAGE, 3), (NO_DESCRIPTORS, 12)])
def test_what_proves_nothing(error: CallError, calls: int) -> None:
    """An outage: stay away. Our own trouble: the next one may try, and it is open yet."""

    async def main() -> None:
        named, where = Named(), site()
        call = CircuitBreaker().wrap(named, where)
        await opened(call, named)
        named.error = error
        tasks = start(call, 12)
        await asyncio.sleep(6.5)
        assert len(named.begun) == 10 + calls
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_time_spent_at_the_door_is_held_time() -> None:
    """Neither attempts nor elapsed time are charged for it."""

    async def main() -> None:
        named, visit = Named(), Stay()
        call = CircuitBreaker().wrap(named, site())
        at = await opened(call, named)
        await call(Asked(), visit)
        assert visit.held_s == pytest.approx(named.times()[-1] - at)
        assert visit.attempts == 1

    simulate(main())


def test_a_failed_probe_is_an_attempt_of_its_record() -> None:
    """One with none left fails with its own error, whatever the circuit does."""

    async def main() -> None:
        named = Named()
        call = stack([RetryPolicy(attempts=2), CircuitBreaker()], named, site())
        await opened(CircuitBreaker().wrap(named, site()), named)
        named.error = OUTAGE
        assert await results(ask(call, *TEN)) == [OUTAGE] * 10

    simulate(main())


def test_with_a_fallback_it_does_not_wait() -> None:
    """An open circuit is said at once, and so is a half-open one without a permit."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site(has_fallback=True))
        at = await opened(call, named)
        with pytest.raises(CircuitOpenError, match="500"):
            await call(Asked(), Stay())
        assert now() == at
        await asyncio.sleep(7)
        outcome = await results(start(call, 5))
        assert outcome[:3] == ["ok"] * 3
        assert {type(each) for each in outcome[3:]} == {CircuitOpenError}
        assert await results(start(call, 5)) == ["ok"] * 5
        assert len(named.begun) == 18

    simulate(main())


def test_with_a_stale_answer_it_does_not_wait() -> None:
    """Only the call that has one; the others wait for the target."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        at = await opened(call, named)
        asked = Asked()
        asked.standing.is_patient = False
        waiting = start(call, 3)
        with pytest.raises(CircuitOpenError):
            await call(asked, Stay())
        assert now() == at
        assert await results(waiting) == ["ok"] * 3

    simulate(main())


# Cancellation


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    """Three probes that hang and are cancelled make room for others; the rest is not stuck."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        await opened(call, named)
        named.seconds = 1000
        probes, others = start(call, 3), start(call, 20)
        await asyncio.sleep(10)
        named.seconds = 0.01
        for probe in probes:
            probe.cancel()
        assert await results(others) == ["ok"] * 20
        await asyncio.wait(probes)

    simulate(main())


@pytest.mark.parametrize("when", ["before", "with", "after"])
def test_who_is_cancelled_at_the_door_keeps_nobody_out(when: str) -> None:
    """Before it is let in, in the very moment, and right after."""

    async def main() -> None:
        named = Named()
        call = CircuitBreaker().wrap(named, site())
        await opened(call, named)
        others = start(call, 8)
        first = others[:3]
        del others[:3]
        await settle()
        loop = asyncio.get_running_loop()
        (opens_at,) = {timer.when() for timer in loop._scheduled if not timer.cancelled()}  # type: ignore[attr-defined]
        moments = {
            "before": now(),
            "with": math.nextafter(opens_at, math.inf),  # the next timer of the same turn
            "after": opens_at + named.seconds / 2,
        }
        for task in first:
            loop.call_at(moments[when], task.cancel)
        assert await results(others) == ["ok"] * 5
        assert all(isinstance(each, asyncio.CancelledError) for each in await results(first))
        assert len(named.begun) == 10 + 5 + 3 * (when == "after")

    simulate(main())


# An outage


def rate() -> RateLimit:
    return RateLimit(limit=Rate(50))


@pytest.mark.parametrize(
    "parts",
    [{}, {"rate": rate()}, {"concurrency": FixedConcurrency(16)},
     {"rate": rate(), "concurrency": FixedConcurrency(16)}],
    ids=["alone", "rate", "concurrency", "both"],
)  # fmt: skip
def test_an_outage_of_twenty_seconds(parts: dict[str, Any]) -> None:
    """64 at once: no record fails, and at most 15 requests begin after the tenth failure."""

    async def main() -> None:
        began, begun, failures = now(), [], []
        places = CapacityLimiter(64)

        async def inner(call: Any, visit: Any) -> Any:
            visit.begin(None)
            begun.append(now())
            is_good = not 10 <= now() - began < 30
            await asyncio.sleep(0.1)
            if not is_good:
                failures.append(now())
                raise OUTAGE
            return "ok"

        call = stack([RetryPolicy(), Admission(CircuitBreaker(), **parts)], inner, site())

        async def consumer() -> None:
            while now() - began < 60:
                visit = Stay(places)
                assert await call(Asked(), visit) == "ok"
                visit.release()
                await asyncio.sleep(0.4)

        await asyncio.gather(*[consumer() for _ in range(128)])
        tenth = failures[9]
        assert sum(tenth + 0.1 < at and at - began < 30 for at in begun) <= 15
        assert begun[-1] - began > 55
        assert places.free == 64

    simulate(main())
