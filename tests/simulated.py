"""What policies and engines meet, in simulated time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from streamproc.counters import StageMetrics
from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.sweeper import Sweeper
from streamproc.engines.workshop import Workshop
from streamproc.errors import CallError
from streamproc.interfaces import Inner, Site, Standing

OUTAGE = CallError("http_status", "500", again=True, is_outage=True, status=500)
BUSY = CallError("throttled", "429", again=True, throttled=True, status=429)
REFUSED = CallError("http_status", "400")
LATE = CallError("timeout", "no result within 1 s", again=True, is_outage=True)


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Everybody who can go on without time passing does."""
    for _ in range(20):
        await asyncio.sleep(0)


class Asked:
    """A call as policies see it."""

    def __init__(self, target: Any = "t", *, is_idempotent: bool = True, key: bytes = b"k") -> None:
        self.target = target
        self.is_idempotent = is_idempotent
        self.sent = False
        self.is_negative = False
        self.status = None
        self.standing = Standing()
        self._key = key

    def key(self) -> bytes:
        return self._key


class Stay:
    """A visit without an engine. It holds a place as long as it does not wait."""

    only = None
    _ages = itertools.count()

    def __init__(self, places: CapacityLimiter | None = None) -> None:
        self.attempts = 0
        self.held_s = 0.0
        self.deadline_s: float | None = None
        self.age = next(self._ages)
        self.room = places or CapacityLimiter(1_000_000)
        self.may_start = False
        if self.room.enter_nowait():
            self.granted()

    def granted(self) -> None:
        assert not self.may_start
        self.may_start = True

    def release(self) -> None:
        if self.may_start:
            self.may_start = False
            self.room.leave()

    def begin(self, timed: Any) -> None:
        assert self.may_start
        self.attempts += 1

    def end(self) -> None:
        return

    def end_failed(self, error: BaseException) -> BaseException:
        if isinstance(error, asyncio.CancelledError):
            raise error
        return error

    async def pause(self, seconds: float) -> None:
        await self.wait(asyncio.ensure_future(asyncio.sleep(seconds)))

    async def wait(self, turn: asyncio.Future[Any]) -> Any:
        if not turn.done():
            self.release()
        return await turn

    wait_for_call = wait

    async def gather(self, answer: asyncio.Future[Any], send: Callable[[], None]) -> Any:
        """Somebody can always join."""
        return await self.wait(answer)


def site(**more: Any) -> Site:
    return Site("s", 30.0, StageMetrics(), **more)


def counted(answer: Callable[[], Awaitable[Any]]) -> tuple[Inner, list[float]]:
    """An inner call that gives `answer`, and when it was called."""
    begun: list[float] = []

    async def inner(call: Any, visit: Any) -> Any:
        visit.begin(None)
        begun.append(now())
        return await answer()

    return inner, begun


class Named:
    """An inner call that answers by name: `errors` and `takes_s` have what differs.

    `begun` is who was asked, and when.
    """

    def __init__(self, error: BaseException | None = None, seconds: float = 0.01) -> None:
        self.error = error
        self.seconds = seconds
        self.errors: dict[str, BaseException | None] = {}
        self.takes_s: dict[str, float] = {}
        self.begun: list[tuple[str, float]] = []

    async def __call__(self, call: Any, visit: Any) -> str:
        name = call.key().decode()
        visit.begin(None)
        self.begun.append((name, now()))
        await asyncio.sleep(self.takes_s.get(name, self.seconds))
        error = self.errors.get(name, self.error)
        if error is not None:
            raise error
        return "ok"

    def names(self, since: int = 0) -> list[str]:
        """Who was asked, in turn."""
        return [name for name, _ in self.begun[since:]]

    def times(self, since: int = 0) -> list[float]:
        """When."""
        return [at for _, at in self.begun[since:]]


def ask(call: Inner, *names: str, target: Any = "t") -> list[asyncio.Task[Any]]:
    """A record each, all at once; the first name is the oldest."""
    asked = [(Asked(target, key=name.encode()), Stay()) for name in names]
    return [asyncio.create_task(_asked(call, each, visit)) for each, visit in asked]


@asynccontextmanager
async def workshop(places: int, *limits_s: float) -> AsyncIterator[Workshop]:
    """The engine's own visits: `fork` gives one without a place."""
    shop = Workshop(CapacityLimiter(places), Sweeper(list(limits_s), lambda late_s: None))
    shop.sweeper.start()
    try:
        yield shop
    finally:
        shop.sweeper.stop()
        await shop.abort()


def start(call: Inner, count: int, *, target: Any = "t") -> list[asyncio.Task[Any]]:
    """As many records at once."""
    return [asyncio.create_task(_asked(call, Asked(target), Stay())) for _ in range(count)]


async def _asked(call: Inner, asked: Asked, visit: Stay) -> Any:
    try:
        return await call(asked, visit)
    finally:
        visit.release()


async def results(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    """What became of them, errors too."""
    return await asyncio.gather(*tasks, return_exceptions=True)


class Target:
    """Takes `seconds`, then answers, or raises `error` while it has one."""

    def __init__(self, error: CallError | None = None, seconds: float = 0.01) -> None:
        self.error = error
        self.seconds = seconds

    async def answer(self) -> str:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return "ok"


class Server:
    """Takes `seconds`; refuses at once what is above its capacity, a number or one by time."""

    def __init__(self, capacity: int | Callable[[float], int], seconds: float = 0.1) -> None:
        self._capacity = capacity
        self._began = now()
        self.seconds = seconds
        self.in_progress = self.most = self.good = self.bad = 0

    @property
    def capacity(self) -> int:
        if callable(self._capacity):
            return self._capacity(now() - self._began)
        return self._capacity

    @property
    def per_second(self) -> float:
        """What it can do."""
        return self.capacity / self.seconds

    async def call(self, call: Any, visit: Any) -> str:
        visit.begin(None)
        if self.in_progress >= self.capacity:
            self.bad += 1
            await asyncio.sleep(0.001)
            raise BUSY
        self.in_progress += 1
        self.most = max(self.most, self.in_progress)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_progress -= 1
        self.good += 1
        return "ok"


class SlowingServer(Server):
    """Never refuses: the more it has to do the longer all take, above 0.5 s in vain."""

    async def call(self, call: Any, visit: Any) -> str:
        visit.begin(None)
        self.in_progress += 1
        self.most = max(self.most, self.in_progress)
        takes_s = self.seconds * max(1.0, self.in_progress / self.capacity)
        try:
            await asyncio.sleep(min(takes_s, 0.5))
            if takes_s > 0.5:
                self.bad += 1
                raise LATE
        finally:
            self.in_progress -= 1
        self.good += 1
        return "ok"


async def load(call: Inner, count: int, until: float) -> None:
    """So many records at a time, one after the other."""

    async def consumer() -> None:
        while now() < until:
            await _asked(call, Asked(), Stay())

    await asyncio.gather(*[consumer() for _ in range(count)])
