"""The monitor: a small web server that says how a run is doing, and never stands in its way."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from hmac import compare_digest

from aiohttp import web
from msgspec import structs

from streamproc.codec import encode
from streamproc.errors import described
from streamproc.telemetry.events import Events
from streamproc.telemetry.figures import Figures
from streamproc.telemetry.loopback import is_loopback
from streamproc.telemetry.metrics import Exposition
from streamproc.telemetry.page import page
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.vitals import Vitals

log = logging.getLogger("streamproc")

_MOST_CONNECTIONS = 64
_CONNECTION_S = 10.0  # a request that takes longer to come, or its answer to go, is given up
_PAUSE_S = 0.005  # between two answers: who asks without end waits, and the run does not
_END_S = 0.2  # what an answer under way gets when the run ends
# for those who know no token: probes, and the page, which shows nothing before it has one
_OPEN = ("/health", "/ready", "/")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d+)?")
_POLICY = "Content-Security-Policy"
_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    _POLICY: "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "streamproc",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Monitor:
    """Answers at `listener`, a socket that listens, until `serve` is cancelled."""

    def __init__(
        self,
        listener: socket.socket,
        vitals: Vitals,
        exposition: Exposition,
        figures: Figures,
        token: str | None,
    ) -> None:
        self._listener = listener
        self._vitals = vitals
        self._exposition = exposition
        self._figures = figures
        self._wanted = None if token is None else f"Bearer {token}".encode()
        self._is_local = is_loopback(listener.getsockname()[0])
        self._turn = asyncio.Lock()
        self._page = page("page.html", "page.js")
        self._events = Events(vitals.reading, figures, self._state)

    async def serve(self) -> None:
        """Until it is cancelled."""
        app = web.Application(middlewares=[self._guarded])
        app.on_response_prepare.append(_harden)
        for path in ("health", "ready", "metrics", "stats"):
            app.router.add_get(f"/{path}", getattr(self, f"_{path}"))
        app.router.add_get("/", self._front)
        app.router.add_get("/events", self._events.answer)
        server: asyncio.Server | None = None
        quiet = logging.Logger("monitor", logging.CRITICAL + 1)  # requests that are none
        runner = web.AppRunner(
            app, access_log=None, logger=quiet, lingering_time=0, shutdown_timeout=_END_S
        )
        try:
            await runner.setup()
            assert runner.server is not None
            door = _door(runner.server)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(door, sock=self._listener)
            await asyncio.gather(self._events.run(), self._sweep(runner.server))
        finally:
            if server is not None:
                server.close()
            await self._events.close()
            await runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async with self._turn:
            try:
                return self._refusal(request) or await handler(request)
            except web.HTTPException:  # there is no such page, or method
                raise
            except Exception as error:
                log.error("the monitor has no answer for %s: %s", request.path, described(error))
                return web.Response(status=500)
            finally:
                await asyncio.sleep(_PAUSE_S)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What is said to a page elsewhere that asks through a browser, and to who has no token."""
        host = _HOST.fullmatch(request.headers.get("Host", ""))
        if self._is_local and (host is None or not is_loopback(host[1])):
            return web.Response(status=421, text="Host: not a name of this machine\n")
        if self._wanted is None or request.path in _OPEN:
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
        if compare_digest(given, self._wanted):
            return None
        return web.Response(
            status=401, headers={"WWW-Authenticate": "Bearer"}, text="a token is wanted\n"
        )

    async def _health(self, request: web.Request) -> web.Response:
        stuck_s = self._vitals.stuck_s
        body = {"status": "stuck" if stuck_s else "ok", "stuck_seconds": round(stuck_s, 1)}
        return _json(body, 503 if stuck_s else 200)

    async def _ready(self, request: web.Request) -> web.Response:
        reading, missing = await self._vitals.reading(), self._vitals.missing
        missing += ["draining"] if reading.is_draining else []
        body = {"ready": not missing, "missing": missing, "degraded": reading.degraded}
        return _json(body, 503 if missing else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        reading = await self._vitals.reading()
        accept = request.headers.get("Accept", "")
        body, content_type = self._exposition.text(reading, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _front(self, request: web.Request) -> web.Response:
        headers = {_POLICY: f"{self._page.policy}; connect-src 'self'; frame-ancestors 'none'"}
        return web.Response(text=self._page.html, content_type="text/html", headers=headers)

    def _state(self, reading: Reading) -> str:
        if self._vitals.stuck_s:
            return "stuck"
        if self._vitals.missing:
            return "opening"
        return "draining" if reading.is_draining else "running"

    async def _stats(self, request: web.Request) -> web.Response:
        reading = await self._vitals.reading()
        examples = self._figures.examples(reading)
        failures = {} if examples is None else {"last_failures": examples}
        return _json(structs.asdict(reading.summary) | failures)

    async def _sweep(self, server: web.Server) -> None:
        """Close, without end, what was there the last time already, and follows no events."""
        before: set[web.RequestHandler] = set()
        while True:
            await asyncio.sleep(_CONNECTION_S)
            found = set(server.connections) - self._events.followed
            for late in before & found:
                late.force_close()
            before = found - before


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=encode(body) + b"\n", status=status, headers={"Content-Type": "application/json"}
    )


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    policy = response.headers.get(_POLICY, _HEADERS[_POLICY])  # the page has one of its own
    response.headers.update(_HEADERS | {_POLICY: policy})
    response.force_close()


def _door(server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
    """Lets so many connections in at once."""
    return lambda: server() if len(server.connections) < _MOST_CONNECTIONS else _Refused()


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport.close()
