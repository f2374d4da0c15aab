"""How many calls of a stage a target gets at once: a fixed number, or as many as it can take."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Annotated, Any

from msgspec import Meta, Struct

from streamproc.errors import CallError
from streamproc.interfaces import Inner, RecheckError, Site, Visit
from streamproc.policies.aimd import Aimd, Outcome

Count = Annotated[int, Meta(ge=1)]


class Concurrency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adaptive: begins with `start` and stays between `min` and `max`."""

    max: Count
    min: Count = 1
    start: Count = 10

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min: at most max = {self.max}, got {self.min}")

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        return _wrapped(inner, site, lambda: Aimd(self.min, self.max, self.start))


class FixedConcurrency(Struct, frozen=True):
    """Always `limit`."""

    limit: int

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        return _wrapped(inner, site, lambda: Aimd(self.limit, self.limit, self.limit))


def _wrapped(inner: Inner, site: Site, make: Any) -> Inner:
    slots: dict[str, _Slots] = {}
    gate = site.gate

    async def limited(call: Any, visit: Visit) -> Any:
        own = slots.get(call.target)
        if own is None:
            own = slots[call.target] = _Slots(make())
        if own.line or own.in_flight >= own.aimd.limit:
            await own.queue(visit)
            if gate.is_shut(call.target):
                own.leave()
                raise RecheckError
        else:
            own.in_flight += 1
        ticket = own.aimd.began(own.in_flight)
        outcome = Outcome.NEUTRAL
        try:
            value = await inner(call, visit)
            outcome = Outcome.GOOD if visit.attempts == 1 else Outcome.NEUTRAL
        except CallError as error:
            outcome = _outcome_of(error)
            raise
        finally:
            own.aimd.ended(ticket, outcome, own.loop.time())
            own.leave()
        return value

    return limited


def _outcome_of(error: CallError) -> Outcome:
    if error.throttled:
        return Outcome.OVERLOAD
    if error.kind == "timeout":
        return Outcome.TIMEOUT
    return Outcome.ERROR if error.is_outage else Outcome.NEUTRAL


class _Slots:
    """A target's slots, and who waits for one, first in, first out."""

    def __init__(self, aimd: Aimd) -> None:
        self.aimd = aimd
        self.loop = asyncio.get_running_loop()
        self.in_flight = 0
        self.line: deque[asyncio.Future[None]] = deque()

    async def queue(self, visit: Visit) -> None:
        """Wait for a slot."""
        turn = self.loop.create_future()
        self.line.append(turn)
        try:
            await visit.wait(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        while self.line and self.in_flight < self.aimd.limit:
            turn = self.line.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
