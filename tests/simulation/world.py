"""Services that exist in simulated time only, and what they saw.

A `World` stands where connections would be: everything above it is the real command's code. It
counts what a service could count, and what a client must not do it notices as it happens.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from streamproc.codec import decode_any
from streamproc.http.aiohttp import AiohttpClient
from streamproc.http.contract import ClientOptions, Request, Response, cannot_connect, reset
from streamproc.interfaces import RecheckError
from streamproc.memory import SMALL_BYTES

HANG_S = 1e6
_PIECES = 4  # of a large body
_THERE, _LIST_THERE = b"/there/", b"/there/list/"  # where redirects lead to


@dataclass(frozen=True)
class Service:
    """How one service behaves. `bad`: what it always does to some records.

    `outage`: from, to, and how: "refused", "500", "hang". `capacity`: calls at once, 503 beyond.
    """

    name: str = "a"
    seconds: float = 0.05
    connect_s: float = 0.0
    bad: dict[int, str] = field(default_factory=dict)
    flaky: float = 0.0  # share of answers that are a 500, by chance
    outage: tuple[float, float, str] | None = None
    capacity: int | None = None
    pause: tuple[float, float, str] | None = None  # at, for how long, in which words
    body_bytes: int = 0  # of a good answer, about
    redirects: bool = False  # to where the answer is


class World:
    """All services, and a log of every request: when it was written, which, and what came of it."""

    def __init__(self, services: dict[str, Service], now: Any) -> None:
        self.services = services
        self.now = now
        self.began = now()
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_of_all = 0
        self.connections: Counter[str] = Counter()
        self.written: dict[str, list[float]] = defaultdict(list)
        self.calls = 0
        self.times: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.paused_until: dict[str, float] = defaultdict(float)
        self.told_at: dict[str, float] = {}
        self.in_pause: list[tuple[str, float]] = []
        self.good: Counter[str] = Counter()
        self.last_good: dict[str, float] = defaultdict(lambda: self.began)
        self.tripped: set[str] = set()
        self.may_be_done: set[tuple[str, int]] = set()  # what must not be asked for again
        self.done_twice: list[tuple[str, int]] = []
        self.refused = 0  # connections that were asked for, and requests that were cut off before

    def client(self, host: str, options: ClientOptions) -> Client | Redirected:
        client = Client(self, host)
        return Redirected(client, options) if options.redirects else client

    def enter(self, host: str, records: list[int]) -> None:
        at = self.now()
        self.calls += 1
        self.written[host].append(at)
        for record in records:
            self.times[host, record].append(at)
        if self.told_at.get(host, at) < at < self.paused_until[host]:
            self.in_pause.append((host, at - self.began))

    def _begin(self, host: str) -> None:
        self.in_flight[host] += 1
        self.most[host] = max(self.most[host], self.in_flight[host])
        self.most_of_all = max(self.most_of_all, sum(self.in_flight.values()))

    def begin_once(self, host: str, records: list[int]) -> None:
        """What is asked for may be done from here on, whatever comes of the request."""
        these = {(host, record) for record in records}
        self.done_twice += these & self.may_be_done
        self.may_be_done |= these

    def not_done(self, host: str, records: list[int]) -> None:
        """It said so."""
        self.may_be_done -= {(host, record) for record in records}

    def outage_of(self, service: Service) -> str | None:
        if service.outage is None:
            return None
        begin, end, how = service.outage
        return how if begin <= self.now() - self.began < end else None

    async def answer(self, host: str, request: Request) -> Response:
        service, records = self.services[host], asked_for(request)
        is_first = not request.path.startswith(_THERE)
        if is_first:
            self.enter(host, records)
        self._begin(host)
        try:
            outage = self.outage_of(service)
            if outage == "hang":
                await asyncio.sleep(HANG_S)
            if service.capacity is not None and self.in_flight[host] > service.capacity:
                await asyncio.sleep(0.002)
                return Response(503, [], b"busy")
            await asyncio.sleep(service.seconds)
            if outage is not None or self.outage_of(service) == "500":
                return Response(500, [], b"down")
            if service.redirects and is_first:
                return Response(303, [(b"Location", _there(request))], b"")
            is_list = bool(request.body) or request.path.startswith(_LIST_THERE)
            return await self._own(host, service, records, is_list=is_list)
        finally:
            self.in_flight[host] -= 1

    async def _own(
        self, host: str, service: Service, records: list[int], *, is_list: bool
    ) -> Response:
        """A list is refused if one of its records is."""
        bad = next((service.bad[record] for record in records if record in service.bad), None)
        if bad == "reset":
            raise reset("the connection ended before the answer")
        if bad == "hang":
            await asyncio.sleep(HANG_S)
        if bad == "429":
            return Response(429, [(b"Retry-After", b"1")], b"no")
        if bad == "429 at once":
            return Response(429, [(b"Retry-After", b"0")], b"no")
        if bad is not None:
            return Response(int(bad), [], b"no")
        if service.pause is not None and host not in self.tripped:
            at, seconds, words = service.pause
            if self.now() - self.began >= at:
                self.tripped.add(host)
                self.told_at[host] = self.now()
                self.paused_until[host] = self.now() + seconds
                return Response(429, [(b"Retry-After", words.encode())], b"later")
        if random.random() < service.flaky:
            return Response(500, [], b"by chance")
        self.good[host] += 1
        self.last_good[host] = self.now()
        filling = b"x" * service.body_bytes
        items = b",".join(b'{"n": %d, "d": "%b"}' % (record, filling) for record in records)
        return Response(200, [], b"[%b]" % items if is_list else items)


class Client:
    """See `http.contract.Client`: keeps connections, and asks before it writes on a new one."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._host = host
        self._idle = 0
        self.open = 0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.open -= self._idle
        self._idle = 0
        assert self.open == 0, "a connection is neither idle nor closed"

    async def send(self, request: Request) -> Response:
        standing: Any = request.standing
        is_first = not request.path.startswith(_THERE)
        if is_first:
            request.sent = False
        if self._idle:
            self._idle -= 1
        elif not is_first:  # it has started long ago
            await self._connect(request)
        else:
            standing.gate.postpone(standing)
            self._world.refused += 1
            await self._connect(request)
            self._world.refused -= 1
            if not standing.gate.may_write(standing):
                self._idle += 1
                raise RecheckError
        request.sent = True
        is_kept = False
        is_once = is_first and not request.is_idempotent
        if is_once:
            self._world.begin_once(self._host, asked_for(request))
        try:
            response = await self._world.answer(self._host, request)
            if is_once and response.status == 429:
                self._world.not_done(self._host, asked_for(request))
            await _take_in(response, request)
            is_kept = response.status != 303  # it closes the connection
            return response
        finally:
            if is_kept:
                self._idle += 1
            else:
                self.open -= 1

    async def _connect(self, request: Request) -> None:
        service = self._world.services[self._host]
        await asyncio.sleep(service.connect_s)
        if self._world.outage_of(service) == "refused":
            raise cannot_connect(request.target, "refused")
        self.open += 1


class Redirected(AiohttpClient):
    """The client that follows redirects, with another one where its connections would be."""

    def __init__(self, client: Client, options: ClientOptions) -> None:
        super().__init__(options)
        self._client = client

    async def __aenter__(self) -> Redirected:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    async def _send_once(self, request: Request, may_be: Any = None) -> Response:
        return await self._client.send(request)


def asked_for(request: Request) -> list[int]:
    """Which records a request is for."""
    if request.body:
        return [item["id"] for item in decode_any(request.body)]
    return [int(record) for record in request.path.rsplit(b"/", 1)[1].split(b",")]


def _there(request: Request) -> bytes:
    there = _LIST_THERE if request.body else _THERE
    return there + b",".join(b"%d" % record for record in asked_for(request))


async def _take_in(response: Response, request: Request) -> None:
    """A large body comes in pieces, and its reader waits for room after each."""
    size, share = len(response.body) // _PIECES, request.share
    if share is None or size < SMALL_BYTES // _PIECES:
        return
    for _ in range(_PIECES):
        share.hold(size)
        if not share.has_room:
            request.answering(response.status)
            room = asyncio.Event()
            share.wait(room.set)
            await room.wait()


def kind_of(bad: str) -> set[tuple[str, int | None]]:
    """What a record may fail of that a service always refuses."""
    return {
        "reset": {("reset", None)},
        "hang": {("timeout", None)},
        "429": {("throttled", 429)},
        "429 at once": {("throttled", 429)},
    }.get(bad, {("http_status", int(bad) if bad.isdigit() else None)})


__all__ = ["Client", "Service", "World", "kind_of"]
