"""Lists, with the engine's own visits; in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from simulated import OUTAGE, Asked, now, settle, site, workshop

from streamproc import Pipeline, enricher
from streamproc.errors import CircuitOpenError
from streamproc.pipeline.shutdown import Shutdown
from streamproc.policies.admission import Admission
from streamproc.policies.batch import Batching
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.deadline import Deadline
from streamproc.policies.stack import stack
from streamproc.policies.timeout import Timeout
from streamproc.testing import MemorySink, MemorySource
from streamproc.trials.clock import simulate
from streamproc.units import Seconds


@pytest.mark.parametrize("is_signal", [False, True])
def test_a_list_that_nobody_can_join_any_more_is_sent(is_signal: bool) -> None:
    """At the end of input, and at a signal: not an hour later."""
    lists = []

    @enricher(batch=100, wait_s=3600)
    async def gather(records: list[dict[str, Any]]) -> list[Any]:
        lists.append(len(records))
        return [{"x": 1}] * len(records)

    class Open(MemorySource):
        async def receive(self) -> Any:
            found = await super().receive()
            if found is None:
                await asyncio.sleep(1e6)
            return found

    async def main() -> None:
        began_s, sink, shutdown = now(), MemorySink(), Shutdown(25.0)
        records = [{"n": n} for n in range(30)]
        source = Open(records) if is_signal else MemorySource(records)
        if is_signal:
            asyncio.get_running_loop().call_later(5.0, shutdown.request, 2)
        await Pipeline([gather]).run(source, sink, shutdown=shutdown)
        assert sink.records == [{"n": n, "x": 1} for n in range(30)]
        assert lists == [30]
        assert now() - began_s < 10

    simulate(main())


def test_a_target_that_is_too_slow_for_all_of_a_list_is_an_outage() -> None:
    """Its records leave one by one; what the list had heard until then counts."""

    async def main() -> None:
        asked: list[int] = []

        async def hang(call: Any, visit: Any) -> None:
            asked.append(len(call.calls))
            await asyncio.sleep(10_000.0)

        limit = Deadline(limit=cast("Seconds", 0.5))
        layers = [limit, Batching(size=2), Admission(CircuitBreaker()), Timeout()]
        call = stack(layers, hang, site())
        async with workshop(4, 30.0) as shop:
            for _ in range(30):
                forks = [shop.fork(lambda visit: call(Asked(), visit), k) for k in range(2)]
                await asyncio.gather(*[each.answer for each in forks], return_exceptions=True)
            assert len(asked) < 20
            assert (shop.places.free, shop.tasks, shop.abandoned) == (4, set(), 0)

    simulate(main())


@pytest.mark.parametrize("leaves_after_s", [0.5, 5.0])
def test_who_leaves_a_list(leaves_after_s: float) -> None:
    """Before it is sent: it is not in it. When nobody waits for it any more it is cancelled."""

    async def main() -> None:
        lists: list[int] = []

        async def hang(call: Any, visit: Any) -> None:
            lists.append(len(call.calls))
            await asyncio.sleep(10_000.0)

        layers = [Batching(size=5, wait=cast("Seconds", 1.0)), Admission(), Timeout()]
        call = stack(layers, hang, site())
        async with workshop(1, 30_000.0) as shop:
            forks = [shop.fork(lambda visit: call(Asked(), visit), k) for k in range(3)]
            await asyncio.sleep(leaves_after_s)
            forks[0].cancel()
            await asyncio.sleep(2.0)
            assert lists == [2 if leaves_after_s < 1.0 else 3]
            assert shop.places.taken == 1
            for fork in forks:
                fork.cancel()
            await settle()
            assert (shop.places.free, shop.tasks) == (1, set())

    simulate(main())


def test_who_has_an_older_answer_waits_for_nobody() -> None:
    """Such records are lists of their own: while the target is away the others wait for it."""

    async def main() -> None:
        lists: list[list[int]] = []

        async def down(call: Any, visit: Any) -> list[Any]:
            lists.append([each.standing.is_patient for each in call.calls])
            if now() < back_s:
                raise OUTAGE
            return ["ok"] * len(call.calls)

        breaker = CircuitBreaker(consecutive=2, open=cast("Seconds", 30.0))
        batch = Batching(size=2, wait=cast("Seconds", 0.1))
        call = stack([batch, Admission(breaker), Timeout()], down, site())
        back_s = now() + 10.0

        def ask(shop: Any, *are_patient: bool) -> list[Any]:
            asked = [Asked() for _ in are_patient]
            for each, is_patient in zip(asked, are_patient, strict=True):
                each.standing.is_patient = is_patient
            return [
                shop.fork(lambda visit, each=each: call(each, visit), k).answer
                for k, each in enumerate(asked)
            ]

        async with workshop(8, 30.0) as shop:
            await asyncio.gather(*ask(shop, *[True] * 4), return_exceptions=True)
            began_s = now()
            has_old, has_none, has_old_too, has_none_too = ask(shop, False, True, False, True)
            for answer in (has_old, has_old_too):
                with pytest.raises(CircuitOpenError):
                    await answer
            assert now() == began_s
            assert await asyncio.gather(has_none, has_none_too) == ["ok", "ok"]
            assert lists[2:] == [[True, True]]

    simulate(main())


def test_a_list_counts_for_those_who_wait_for_it() -> None:
    """Who left it is at another record by then."""

    async def main() -> None:
        async def slow(call: Any, visit: Any) -> list[Any]:
            await asyncio.sleep(5.0)
            return ["ok"] * len(call.calls)

        call = stack([Batching(size=2), Admission(), Timeout()], slow, site())
        async with workshop(4, 30.0) as shop:
            visits: list[Any] = []

            async def ask(visit: Any) -> Any:
                visits.append(visit)
                return await call(Asked(), visit)

            leaves, stays = [shop.fork(ask, k) for k in range(2)]
            await asyncio.sleep(1.0)
            leaves.cancel()
            await settle()
            visits[0].attempts = 7
            assert await stays.answer == "ok"
            assert [each.attempts for each in visits] == [7, 1]

    simulate(main())
