"""The first ten records are all answered 401: how long who is held back; in simulated time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
from simulated import Asked, Stay, now, site, workshop

from streamproc.errors import CallError, UnauthorizedError
from streamproc.policies.cache import Cache
from streamproc.policies.credential_check import CredentialCheck
from streamproc.policies.deadline import Deadline
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate
from streamproc.units import Seconds

NAMES = (CallError, UnauthorizedError)


def checked(seconds: float) -> Any:
    async def inner(call: Any, visit: Any) -> Any:
        await asyncio.sleep(seconds)
        raise CallError("http_status", "401", status=401)

    return CredentialCheck(keep_going=False).wrap(inner, site())


async def outcome(call: Any, asked: Asked | None = None) -> str:
    try:
        await call(asked or Asked(), Stay())
    except NAMES as error:
        return type(error).__name__
    return "ok"


def test_a_slow_target_is_waited_for() -> None:
    """However long it takes for an answer: who was answered before is held until there are ten."""

    async def main() -> None:
        call = checked(30.0)
        tasks = []
        for _ in range(10):
            tasks.append(asyncio.create_task(outcome(call)))
            await asyncio.sleep(29)
        assert await asyncio.gather(*tasks) == ["UnauthorizedError"] * 10

    simulate(main())


def test_where_nobody_asks_they_are_let_go_after_a_second() -> None:
    """And they count: the tenth of all ends the run, with those that are held then."""

    async def main() -> None:
        call = checked(0.1)
        began_s = now()
        first = await asyncio.gather(*(outcome(call) for _ in range(8)))
        assert first == ["CallError"] * 8
        assert 1.1 <= now() - began_s < 1.2
        assert await asyncio.gather(outcome(call), outcome(call)) == ["UnauthorizedError"] * 2
        assert await outcome(call) == "UnauthorizedError"  # it was on its way

    simulate(main())


def test_who_has_an_older_answer_says_nothing() -> None:
    """It takes the place of the 401."""

    async def main() -> None:
        call, asked = checked(0.1), Asked()
        asked.standing.is_patient = False
        assert [await outcome(call, asked) for _ in range(20)] == ["CallError"] * 20

    simulate(main())


@pytest.mark.parametrize("between", [(), (Cache(),)])
def test_who_was_answered_does_not_fail_of_its_deadline(between: tuple[Any, ...]) -> None:
    """Others may ask for longer: it is let go in time, with the answer that it has."""

    async def main() -> None:
        async def slow_for_some(call: Any, visit: Any) -> str:
            if call.key() != b"refused":
                await asyncio.sleep(100.0)
            raise CallError("http_status", "401", status=401)

        async with workshop(4, 30.0) as shop:
            layers = [each.opened(site()) for each in between]
            async with AsyncExitStack() as opened:
                inner = [await opened.enter_async_context(each) for each in layers]
                check = CredentialCheck(keep_going=False)
                around = [Deadline(limit=cast("Seconds", 2.0)), *inner, check]
                call = stack(around, slow_for_some, site())
                keys = (b"refused", b"slow")
                forks = [
                    shop.fork(lambda visit, key=key: call(Asked(key=key), visit), k)
                    for k, key in enumerate(keys)
                ]
                answers = [each.answer for each in forks]
                refused, slow = await asyncio.gather(*answers, return_exceptions=True)
        assert isinstance(refused, CallError)
        assert isinstance(slow, CallError)
        assert (refused.kind, slow.kind) == ("http_status", "deadline")

    simulate(main())
