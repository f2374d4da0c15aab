"""Tasks beside the consumers are used again, and no job can tell; in simulated time."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from simulated import settle, workshop

from streamproc.interfaces import Visit
from streamproc.trials.clock import simulate

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


async def _task(visit: object) -> Any:
    await asyncio.sleep(1.0)
    return asyncio.current_task()


async def _whose(visit: object) -> Any:
    return WHOSE.get(), asyncio.current_task()


async def _leaves_something(visit: object) -> Any:
    WHOSE.set("another job's")
    return asyncio.current_task()


async def _goes_on(visit: object) -> Any:
    try:
        await asyncio.sleep(1.0)
    except asyncio.CancelledError:
        await asyncio.sleep(1.0)
    return asyncio.current_task()


def test_a_hand_does_one_job_after_the_other() -> None:
    """As many tasks as there were jobs at once."""

    async def main() -> None:
        async with workshop(8, 30.0) as shop:
            tasks = set()
            for _ in range(10):
                forks = [shop.fork(_task, k) for k in range(3)]
                tasks |= set(await asyncio.gather(*[fork.answer for fork in forks]))
                assert not shop.sweeper.slots
            assert len(tasks) == 3

    simulate(main())


def test_what_a_job_has_attempted_stays_when_its_hand_does_another_one() -> None:
    """Who waited for it may ask late."""

    async def attempts(visit: Visit) -> None:
        visit.attempts = 3

    async def main() -> None:
        async with workshop(8, 30.0) as shop:
            first = shop.fork(attempts, 0)
            await first.answer
            second = shop.fork(_task, 1)
            await second.answer
            assert second.hand is first.hand
            assert (first.attempts, second.attempts) == (3, 0)

    simulate(main())


def test_a_job_knows_no_context_but_its_makers() -> None:
    """Neither what an earlier job has left, nor what the maker of that one had set."""

    async def main() -> None:
        async with workshop(8, 30.0) as shop:
            first = await shop.fork(_leaves_something, 0).answer
            assert (await shop.fork(_whose, 1).answer)[0] == "nobody's"
            token = WHOSE.set("its maker's")
            assert (await shop.fork(_whose, 2).answer)[0] == "its maker's"
            WHOSE.reset(token)
            whose, last = await shop.fork(_whose, 3).answer
            assert (whose, last is first) == ("nobody's", False)

    simulate(main())


def test_who_cancels_a_job_that_is_over_cancels_no_other() -> None:
    """The same hand is at another one."""

    async def main() -> None:
        async with workshop(8, 30.0) as shop:
            over = shop.fork(_task, 0)
            task = await over.answer
            fork = shop.fork(_task, 1)
            await settle()
            over.cancel()
            assert await fork.answer is task

    simulate(main())


@pytest.mark.parametrize("turns", [0, 20])
def test_a_hand_that_was_cancelled_does_nothing_more(turns: int) -> None:
    """Before it began, and also where the job made nothing of that."""

    async def main() -> None:
        async with workshop(8, 30.0) as shop:
            task = await shop.fork(_task, 0).answer
            fork = shop.fork(_goes_on, 1)
            for _ in range(turns):
                await asyncio.sleep(0)
            fork.cancel()
            ended = await asyncio.gather(fork.answer, return_exceptions=True)
            assert ended == [task] if turns else isinstance(ended[0], asyncio.CancelledError)
            assert await shop.fork(_task, 2).answer is not task
            await settle()
            assert not shop.sweeper.slots

    simulate(main())
