"""The first ten records are all answered 401: how long who is held back; in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

from simulated import Asked, Stay, now, site

from streamproc.errors import CallError, UnauthorizedError
from streamproc.policies.credential_check import CredentialCheck
from streamproc.trials.clock import simulate

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
