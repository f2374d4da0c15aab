"""While nobody knows whether a target is down, few calls begin."""

from __future__ import annotations

import asyncio

import pytest
from simulated import OUTAGE, Named, ask, results, site

from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.trials.clock import simulate

MANY = [str(k) for k in range(200)]


@pytest.mark.parametrize("consecutive", [5, 10])
def test_a_burst_into_an_outage(consecutive: int) -> None:
    """After a failure, and no good answer since: as many begin as it takes to open the circuit."""

    async def main() -> None:
        named = Named(OUTAGE, seconds=0.05)
        call = CircuitBreaker(consecutive=consecutive).wrap(named, site())
        assert await results(ask(call, "first")) == [OUTAGE]
        tasks = ask(call, *MANY)
        await asyncio.sleep(3.0)
        assert len(named.begun) <= 2 * consecutive  # each failure but the last lets one more begin
        named.error = None
        done = await results(tasks)
        assert done.count("ok") >= 200 - 2 * consecutive

    simulate(main())


def test_one_good_answer_ends_it() -> None:
    """All others begin at that moment; nobody waits for those that hang."""

    async def main() -> None:
        named = Named(seconds=1000.0)
        named.takes_s = {"first": 0.05, "good": 0.5}
        named.errors = {"first": OUTAGE}
        call = CircuitBreaker().wrap(named, site())
        assert await results(ask(call, "first")) == [OUTAGE]
        tasks = ask(call, "good", *MANY)
        await asyncio.sleep(0.4)
        assert len(named.begun) == 1 + 10
        await asyncio.sleep(0.2)
        assert len(named.begun) == 1 + 1 + 200
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_who_gives_up_leaves_its_turn_to_the_next() -> None:
    """Hanging calls that are cancelled, and an answer that was none of either kind."""

    async def main() -> None:
        named = Named(seconds=1000.0)
        named.takes_s = {"first": 0.05}
        named.errors = {"first": OUTAGE}
        call = CircuitBreaker().wrap(named, site())
        assert await results(ask(call, "first")) == [OUTAGE]
        tasks = ask(call, *MANY[:20])
        await asyncio.sleep(0.1)
        for task in tasks[:10]:
            task.cancel()
        await asyncio.sleep(0.1)
        assert len(named.begun) == 1 + 20
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())
