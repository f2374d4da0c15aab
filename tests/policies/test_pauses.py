"""Retry-After around a call: who waits, how long, and when a record fails; in simulated time."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from simulated import BUSY, Named, ask, now, results, site, start

from streamproc.errors import CallError
from streamproc.policies.admission import Admission
from streamproc.policies.concurrency import FixedConcurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate
from streamproc.units import Rate

TEN = [f"{k}" for k in range(10)]


def later(seconds: float) -> CallError:
    """A 429 with Retry-After."""
    return CallError("throttled", "429", again=True, throttled=True, after_s=seconds, status=429)


@pytest.mark.parametrize(
    "layer",
    [
        Admission(),
        Admission(concurrency=FixedConcurrency(2)),
        Admission(rate=RateLimit(limit=Rate(100))),
        Admission(rate=RateLimit(limit=Rate(100)), concurrency=FixedConcurrency(2)),
    ],
)
def test_nobody_starts_in_a_pause(layer: Admission) -> None:
    """Whatever else they waited for; then not all at the same moment, and within 10% or 1 s."""

    async def main() -> None:
        named = Named()
        named.errors = {"busy": later(30.0)}
        call = layer.wrap(named, site())
        tasks = ask(call, "busy", *[f"{k}" for k in range(40)])
        await tasks[1]
        (told,) = await results(tasks[:1])
        at = next(at for name, at in named.begun if name == "busy") + named.seconds
        assert told is named.errors["busy"]
        assert await results(tasks[1:]) == ["ok"] * 40
        begun = named.times()
        assert not [each for each in begun if at < each < at + 30]
        after = [each for each in begun if each >= at + 30]
        assert len(set(after)) == len(after)

    simulate(main())


def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not by every call that was on its way when it began; a longer one is news."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        named = Named()
        named.errors = {name: later(5.0 + k / 10) for k, name in enumerate(TEN)}
        named.errors["late"] = later(20.0)
        await results(ask(Admission().wrap(named, site()), *TEN, "late"))

    simulate(main())
    paused = [message for message in caplog.messages if "paused" in message]
    assert paused == [f"s: t: paused for {s} s (Retry-After, 429)" for s in (5.0, 20.0)]


def test_it_is_heeded_also_by_those_who_were_let_in_at_that_moment() -> None:
    """The permit of the call that is told to wait goes to nobody."""

    async def main() -> None:
        named = Named()
        named.errors = {"busy": later(10.0)}
        call = FixedConcurrency(1).wrap(named, site())
        tasks = ask(call, "busy", "next")
        await results(tasks)
        assert named.times()[1] - named.times()[0] >= 10

    simulate(main())


def test_refused_again_while_others_are_answered_it_waits_alone() -> None:
    """One record is told for ever to come in 5 s: the others are held up once."""

    async def main() -> None:
        named = Named()
        named.errors = {"refused": later(5.0)}
        call = stack([RetryPolicy(), Admission()], named, site())
        refused = ask(call, "refused")
        await asyncio.sleep(1)
        assert await results(ask(call, *TEN)) == ["ok"] * 10
        assert now() >= 1005
        for _ in range(30):
            at = now()
            assert await results(ask(call, "good")) == ["ok"]
            assert now() - at < 0.1
            await asyncio.sleep(1)
        times = [at for name, at in named.begun if name == "refused"]
        assert len(times) >= 5
        assert all(late - early >= 5 for early, late in itertools.pairwise(times))
        refused[0].cancel()

    simulate(main())


def test_refused_again_while_nobody_was_answered_all_wait_again() -> None:
    """The target has not recovered."""

    async def main() -> None:
        named = Named(later(5.0))
        call = stack([RetryPolicy(), Admission()], named, site())
        refused = ask(call, "refused")
        while len(named.begun) < 3:  # noqa: ASYNC110 - time is simulated
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * named.seconds)  # the third one has its answer, too
        named.error, told_at = None, named.times()[2]
        assert await results(ask(call, "good")) == ["ok"]
        assert named.times()[-1] >= told_at + 5
        await results(refused)

    simulate(main())


@pytest.mark.parametrize("after_s", [0.0, 0.001])
def test_at_once_means_the_usual_back_off(after_s: float) -> None:
    """`Retry-After: 0`, a date in the past, 1 ms: 20 refusals take longer than a moment."""

    async def main() -> None:
        named = Named(later(after_s))
        call = stack([RetryPolicy(max_elapsed=60), Admission()], named, site())
        at = now()
        assert await results(ask(call, "busy")) == [named.error]
        assert now() - at > 20
        assert len(named.begun) < 40

    simulate(main())


@pytest.mark.parametrize("error", [BUSY, later(0.0), later(20.0)])
def test_a_record_fails_after_ten_refusals_and_long_enough(error: CallError) -> None:
    """300 s at least, if it was refused ten times; else later."""

    async def main() -> None:
        named = Named(error)
        call = stack([RetryPolicy(max_delay=5), Admission()], named, site())
        at = now()
        assert await results(ask(call, "busy")) == [error]
        assert 300 - 25 <= now() - at <= 325
        assert len(named.begun) >= 10

    simulate(main())


def test_few_refusals_are_not_too_many() -> None:
    """Each takes 100 s: it fails at the tenth, not after 300 s."""

    async def main() -> None:
        named = Named(later(100.0))
        call = stack([RetryPolicy(), Admission()], named, site())
        assert await results(ask(call, "busy")) == [named.error]
        assert len(named.begun) == 10
        assert 900 <= now() - 1000 <= 920

    simulate(main())


def test_many_refusals_are_not_too_many_before_their_time() -> None:
    """30 in a minute, and then it is answered."""

    async def main() -> None:
        named = Named(later(2.0))
        call = stack([RetryPolicy(attempts=1), Admission()], named, site())
        tasks = ask(call, "busy")
        await asyncio.sleep(60)
        assert len(named.begun) >= 25
        named.error = None
        assert await results(tasks) == ["ok"]

    simulate(main())


def test_a_call_that_is_done_by_then_does_not_wait() -> None:
    """A pause holds back starts, not what is on its way."""

    async def main() -> None:
        named = Named(seconds=1.0)
        named.errors, named.takes_s = {"busy": later(50.0)}, {"busy": 0.1}
        tasks = ask(Admission().wrap(named, site()), "busy", *TEN)
        assert (await results(tasks))[1:] == ["ok"] * 10
        assert now() == pytest.approx(1001)

    simulate(main())


def test_who_is_cancelled_in_a_pause_is_not_waited_for() -> None:
    """Half of the line leaves; the rest starts as before, and nothing is left over."""

    async def main() -> None:
        named = Named()
        named.errors = {"busy": later(10.0)}
        call = Admission(concurrency=FixedConcurrency(3)).wrap(named, site())
        await results(ask(call, "busy"))
        tasks = start(call, 20)
        await asyncio.sleep(5)
        for task in tasks[::2]:
            task.cancel()
        assert (await results(tasks))[1::2] == ["ok"] * 10
        assert len(named.begun) == 11

    simulate(main())
