"""What a monitor counts of attempts: each by how it ended, with the status of its own answer."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from simulated import Asked, settle, workshop

from streamproc.call_metrics import CallMetrics
from streamproc.counters import StageMetrics
from streamproc.errors import CallError
from streamproc.interfaces import Call, Inner, RecheckError, Site, Visit
from streamproc.policies.stack import stack
from streamproc.policies.timeout import Timeout
from streamproc.trials.clock import simulate
from streamproc.types import CallResult

REFUSED = CallError("http_status", "503", again=True, status=503)
UNREADABLE = CallError("bad_answer", "not JSON")
RESET = CallError("reset", "the connection was closed", again=True)


class Scripted:
    """Answers in turn: with a status, and what is raised after it, if anything."""

    def __init__(self, *answers: tuple[int | None, BaseException | None]) -> None:
        self.answers = list(answers)

    async def __call__(self, call: Call, visit: Visit) -> CallResult:
        status, error = self.answers.pop(0)
        if status is not None:
            call.status = status
        if error is not None:
            raise error
        call.is_negative = status == 404
        return "ok"


async def hang(call: Call, visit: Visit) -> CallResult:
    await asyncio.sleep(3600)


def attempts_of(inner: Inner, metrics: CallMetrics, timeout_s: float = 30.0) -> tuple[Inner, Site]:
    site = Site("s", timeout_s, StageMetrics(), metrics=metrics)
    return stack([Timeout()], inner, site), site


@pytest.mark.parametrize(
    ("status", "error", "counted"),
    [
        (200, None, ("t", "ok", "2xx")),
        (404, None, ("t", "not_found", "4xx")),
        (None, None, ("t", "ok", "")),
        (503, REFUSED, ("t", "http_status", "5xx")),
        (None, REFUSED, ("t", "http_status", "5xx")),
        (200, UNREADABLE, ("t", "bad_answer", "2xx")),
        (None, CallError("<img>", "of a record"), ("t", "other", "")),
        (None, ZeroDivisionError(), ("t", "exception", "")),
    ],
)
def test_how_it_ended(
    status: int | None, error: BaseException | None, counted: tuple[str, str, str]
) -> None:
    async def main() -> None:
        metrics = CallMetrics()
        attempt, site = attempts_of(Scripted((status, error)), metrics)
        async with workshop(1, 30.0) as shop:
            asked = Asked()
            await asyncio.wait([shop.fork(lambda visit: attempt(asked, visit), 0).answer])
        assert metrics.settled().requests == Counter({counted: 1})
        assert sum(metrics.request_s["t"].counts) == site.counts.requests == 1

    simulate(main())


def test_an_attempt_without_an_answer_has_no_status() -> None:
    """The one before was answered; and what asks once more after a look at others is not one."""

    async def main() -> None:
        metrics = CallMetrics()
        asks = Scripted((503, REFUSED), (None, RESET), (None, RecheckError()), (200, None))
        attempt, _ = attempts_of(asks, metrics)
        asked = Asked()
        async with workshop(1, 30.0) as shop:
            for _ in range(4):
                await asyncio.wait([shop.fork(lambda visit: attempt(asked, visit), 0).answer])
        ends = {("http_status", "5xx"), ("reset", ""), ("ok", "2xx")}
        assert metrics.settled().requests == Counter({("t", *each): 1 for each in ends})

    simulate(main())


@pytest.mark.parametrize(("after_s", "outcome"), [(0.5, "cancelled"), (60.0, "timeout")])
def test_what_did_not_come_back(after_s: float, outcome: str) -> None:
    """Cancelled after so long, or before by its timeout."""

    async def main() -> None:
        metrics = CallMetrics()
        attempt, _ = attempts_of(hang, metrics, timeout_s=30.0)
        async with workshop(1, 30.0) as shop:
            asked = Asked()
            fork = shop.fork(lambda visit: attempt(asked, visit), 0)
            await asyncio.sleep(after_s)
            fork.cancel()
            await settle()
        assert metrics.settled().requests == Counter({("t", outcome, ""): 1})

    simulate(main())
