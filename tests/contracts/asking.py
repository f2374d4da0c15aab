"""Clients, loops and targets for the conformance suite of the HTTP clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

import uvloop
from servers.running import HOST, Server

from streamproc.errors import CallError
from streamproc.http.contract import Client, ClientOptions, Request, Response, Target

PATIENCE_S = 60  # a hang fails; nothing is expected to take a share of this
CLIENTS = {
    "lean": ("streamproc.http.lean", "LeanClient"),
    "aiohttp": ("streamproc.http.aiohttp", "AiohttpClient"),
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
ACCEPT = b"Accept: application/json\r\n"


def is_of_uvloop(complaint: dict[str, Any]) -> bool:
    """uvloop 0.23 says this now and then of a TLS handshake that was cancelled; no harm is done."""
    return "the handler is closed" in str(complaint.get("exception"))


class World:
    """One client class, one kind of loop, the server."""

    def __init__(self, kind: str, loop: str, server: Server) -> None:
        self.kind = kind
        self.server = server
        self.target = Target("http", HOST, server.port)
        self._new_loop = LOOPS[loop]

    def client(self, **options: Any) -> Client:
        module, name = CLIENTS[self.kind]
        made: Client = getattr(import_module(module), name)(ClientOptions(**options))
        return made

    def tls(self, kind: str = "good", host: str = HOST) -> Target:
        return Target("https", host, self.server.ports["tls"][kind])

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run it; nothing may be left over, in the loop or in its log."""
        complaints: list[dict[str, Any]] = []

        async def watched() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(PATIENCE_S):
                result = await main
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            result = runner.run(watched())
        assert not [each for each in complaints if not is_of_uvloop(each)], complaints
        return result

    def ask(self, path: str, *, options: dict[str, Any] | None = None, **asked: Any) -> Response:
        """One request with a client of its own. Raises `CallError`."""

        async def main() -> Response:
            async with self.client(**options or {}) as client:
                return await client.send(self.request(path, **asked))

        response: Response = self.run(main())
        return response

    def fails(self, path: str, *, options: dict[str, Any] | None = None, **asked: Any) -> CallError:
        """The error of one request with a client of its own."""
        try:
            response = self.ask(path, options=options, **asked)
        except CallError as error:
            return error
        raise AssertionError(f"{path}: {response}")

    def request(
        self,
        path: str,
        *,
        target: Target | None = None,
        method: str = "",
        headers: bytes = ACCEPT,
        body: bytes = b"",
        is_idempotent: bool | None = None,
    ) -> Request:
        method = method or ("POST" if body else "GET")
        if is_idempotent is None:
            is_idempotent = method != "POST"
        where = target or self.target
        return Request(where, method.encode(), path.encode(), headers, body, is_idempotent)


def good(response: Response) -> str:
    """The path that the server says it answers."""
    assert response.status == 200
    answer = json.loads(response.body)
    assert answer.keys() == {"path", "n"}
    return str(answer["path"])


def echoed(response: Response) -> dict[str, Any]:
    """What the server got; `headers` as a dictionary, names in lower case, each one once."""
    echo: dict[str, Any] = json.loads(response.body)
    names = [name.lower() for name, _ in echo["headers"]]
    assert len(set(names)) == len(names)
    echo["headers"] = {name.lower(): value for name, value in echo["headers"]}
    return echo


async def outcome(client: Client, request: Request) -> tuple[Any, ...]:
    """Status and body, or the facts of a `CallError`, and whether something was sent."""
    try:
        response = await client.send(request)
    except CallError as error:
        return error.kind, error.again, error.throttled, error.is_outage, request.sent
    return response.status, response.body, request.sent
