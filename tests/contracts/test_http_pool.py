"""Connections: kept, shared, never too many, never somebody else's answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asking import PATIENCE_S, World, good, outcome
from servers.running import HOST
from servers.sockets import until

from streamproc.errors import CallError
from streamproc.http.contract import Client, Request, Target

CONNECT = ("connect", True, False, True, False)
RESET = ("reset", True, False, True, True)


async def seen(world: World, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the server says so, and until this loop has heard of it."""
    await asyncio.to_thread(until, lambda: condition(world.server.stats()))
    await asyncio.to_thread(world.server.stats)  # by now sockets that were to be closed are


def is_all_closed(stats: dict[str, Any]) -> bool:
    return bool(stats["connections"]["open"] == 0)


def test_connections_are_kept(world: World) -> None:
    async def main() -> None:
        async with world.client() as client:
            for path in ("/ok", "/204", "/empty", "/gzip", "/status/500", "/large", "/304") * 3:
                await client.send(world.request(path))

    world.run(main())
    assert world.server.stats()["connections"]["accepted"] == 1


@pytest.mark.parametrize("path", ["/delay?s=0.002", "/close-header?s=0.002", "/stale"])
def test_there_are_never_more_than_the_options_say(world: World, path: str) -> None:
    """By the server's count, whether connections are kept, closed or go stale."""
    open_at_once = []

    async def main() -> None:
        async with world.client(connections=3) as client:
            sent = [client.send(world.request(path)) for _ in range(40)]
            for response in await asyncio.gather(*sent):
                good(response)
            open_at_once.append(world.server.stats()["connections"]["open"])

    world.run(main())
    stats = world.server.stats()
    assert stats["max_in_progress"]["overall"] <= 3
    assert open_at_once[0] <= 3
    if path.startswith("/delay"):
        assert stats["connections"]["accepted"] <= 3


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_an_idempotent_request_survives_stale_connections(world: World, method: str) -> None:
    """It is sent again at once, on a fresh connection, even if all kept ones are stale."""

    async def main() -> None:
        async with world.client(connections=4) as client:
            for _ in range(2):
                first = [client.send(world.request("/stale?s=0.05")) for _ in range(4)]
                await asyncio.gather(*first)
                body = b"" if method == "GET" else b"{}"
                requests = [
                    world.request("/ok", method=method, body=body, is_idempotent=True)
                    for _ in range(4)
                ]
                for response in await asyncio.gather(*map(client.send, requests)):
                    assert good(response) == "/ok"
                assert all(request.sent for request in requests)

    world.run(main())
    stats = world.server.stats()
    assert stats["connections"]["dropped"] >= 2
    assert stats["paths"]["/ok"] == 8


def test_what_may_have_been_done_is_not_sent_again(world: World) -> None:
    async def main() -> None:
        async with world.client() as client:
            await client.send(world.request("/stale"))
            got = await outcome(client, world.request("/ok", body=b"{}"))
            assert got == RESET
            assert good(await client.send(world.request("/ok", body=b"{}"))) == "/ok"

    world.run(main())
    stats = world.server.stats()
    assert (stats["connections"]["dropped"], stats["paths"]["/ok"]) == (1, 1)


def test_a_stale_connection_is_replaced_once(world: World) -> None:
    """If the fresh one ends the same way, that is the answer."""

    async def main() -> None:
        async with world.client() as client:
            await client.send(world.request("/ok"))
            assert await outcome(client, world.request("/close/before")) == RESET

    world.run(main())
    assert world.server.stats()["paths"]["/close/before"] == 2


def test_idle_connections_that_were_closed_are_not_used(world: World) -> None:
    """Even a request that must not be repeated gets through."""

    async def main() -> None:
        async with world.client(connections=2) as client:
            await asyncio.gather(*[client.send(world.request("/stale/idle?s=0"))] * 1)
            await seen(world, is_all_closed)
            assert good(await client.send(world.request("/ok", body=b"{}"))) == "/ok"

    world.run(main())


def test_an_answer_that_nobody_asked_for_is_nobodys(world: World) -> None:
    """Its connection is closed as it comes."""

    async def main() -> None:
        async with world.client(connections=1) as client:
            for _ in range(3):
                assert good(await client.send(world.request("/unsolicited?s=0"))) == "/unsolicited"
                await seen(world, is_all_closed)
                assert good(await client.send(world.request("/ok", body=b"{}"))) == "/ok"

    world.run(main())


@pytest.mark.parametrize("path", ["/never", "/slow-body?s=0.05", "/bytes?s=0.05", "/switch"])
def test_cancellation_closes_the_connection(world: World, path: str) -> None:
    """At once, by the server's count; the place in the pool is free again."""

    async def main() -> None:
        async with world.client(connections=1) as client:
            for _ in range(2):
                await cancelled(client, world.request(path))
                await seen(world, is_all_closed)
                assert good(await client.send(world.request("/ok"))) == "/ok"

    async def cancelled(client: Client, request: Request) -> None:
        before = world.server.stats()["total"]
        task = asyncio.create_task(client.send(request))
        await seen(world, lambda stats: stats["total"] > before)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, CallError)):  # /switch is refused before that
            await task
        assert request.sent

    world.run(main())


def test_those_who_wait_can_be_cancelled_and_are_served(world: World) -> None:
    """A cancelled wait costs nobody a place; nothing of it was sent."""

    async def main() -> None:
        async with world.client(connections=2) as client:
            busy = [asyncio.create_task(client.send(world.request("/never"))) for _ in range(2)]
            await seen(world, lambda stats: stats["in_progress"] == 2)
            requests = [world.request("/ok") for _ in range(30)]
            waiting = [asyncio.create_task(client.send(request)) for request in requests]
            await asyncio.sleep(0)
            for task in [*waiting[::3], busy[0]]:
                task.cancel()
            got = await asyncio.gather(*waiting, return_exceptions=True)
            for k, each in enumerate(got):
                assert isinstance(each, asyncio.CancelledError) == (k % 3 == 0)
                assert requests[k].sent == (k % 3 != 0)
            busy[1].cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            assert good(await client.send(world.request("/ok"))) == "/ok"

    world.run(main())
    assert world.server.stats()["paths"]["/ok"] == 21


def test_cancelling_at_any_moment_loses_no_place(world: World) -> None:
    async def main() -> None:
        async with world.client(connections=2) as client:
            for turns in range(40):
                tasks = [asyncio.create_task(client.send(world.request("/ok"))) for _ in range(4)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks[: turns % 4 + 1]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            got = await asyncio.gather(*[client.send(world.request("/ok")) for _ in range(8)])
            assert [good(each) for each in got] == ["/ok"] * 8

    world.run(main())
    assert world.server.stats()["max_in_progress"]["overall"] <= 4  # also those being closed


def test_leaving_ends_what_is_still_asked(world: World) -> None:
    async def main() -> None:
        async with world.client(connections=1) as client:
            asked = [asyncio.create_task(client.send(world.request("/never"))) for _ in range(2)]
            await seen(world, lambda stats: stats["in_progress"] == 1)
        asked[1].cancel()
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, CallError | asyncio.CancelledError), error

    world.run(main())


def test_an_outage_is_said_and_survived(world: World) -> None:
    async def main() -> None:
        async with world.client(connections=2) as client:
            await asyncio.gather(*[client.send(world.request("/ok")) for _ in range(2)])
            await asyncio.to_thread(world.server.down, 0.2)
            while (got := await outcome(client, world.request("/ok", body=b"{}")))[0] != 200:
                assert got in (CONNECT, RESET)

    world.run(main())


@pytest.fixture
def any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is the server's."""

    async def ask(host: str) -> Any:
        return [(2, HOST)]

    monkeypatch.setattr("streamproc.http.addresses._ask", ask)
    for module in ("lean", "aiohttp_connection"):  # hundreds at once, on a busy machine
        monkeypatch.setattr(f"streamproc.http.{module}.CONNECT_TIMEOUT_S", PATIENCE_S)


@pytest.mark.parametrize("kind", ["lean"])  # aiohttp closes idle connections by the clock
@pytest.mark.usefixtures("any_name")
def test_targets_that_records_name_do_not_pile_up(world: World) -> None:
    """Connections to those that nobody asks any more are closed, others are used again."""

    async def main() -> None:
        async with world.client(connections=2) as client:
            slow = Target("http", "slow.example", world.server.port)
            task = asyncio.create_task(client.send(world.request("/never", target=slow)))
            await seen(world, lambda stats: stats["in_progress"] == 1)
            for k in range(1000):
                target = Target("http", f"h{k}.example", world.server.port)
                assert good(await client.send(world.request("/ok", target=target))) == "/ok"
            await seen(world, lambda stats: stats["connections"]["open"] <= 256)
            before = world.server.stats()["connections"]["accepted"]
            for _ in range(20):  # a second connection, and no more
                await client.send(world.request("/ok", target=slow))
            assert world.server.stats()["connections"]["accepted"] == before + 1
            assert world.server.stats()["in_progress"] == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    world.run(main())


@pytest.mark.usefixtures("any_name")
def test_any_number_of_targets_at_once(world: World) -> None:
    async def main() -> None:
        async with world.client(connections=1) as client:
            targets = [Target("http", f"h{k % 400}.e", world.server.port) for k in range(800)]
            sent = [client.send(world.request("/ok", target=target)) for target in targets]
            assert {good(each) for each in await asyncio.gather(*sent)} == {"/ok"}

    world.run(main())


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port that answers no connection: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        while True:
            one = stack.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect((HOST, port))
            except TimeoutError:
                break
        yield port


def test_no_connection_is_a_fact(world: World) -> None:
    with socket.socket() as held:
        held.bind((HOST, 0))  # bound, not listening
        nobody = Target("http", HOST, held.getsockname()[1])

        async def main() -> None:
            async with world.client(connections=1) as client:
                for body in (b"", b"{}"):
                    request = world.request("/ok", target=nobody, body=body)
                    assert await outcome(client, request) == CONNECT

        world.run(main())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
def test_no_address_is_a_fact(world: World, host: str) -> None:
    error = world.fails("/ok", target=Target("http", host, 80))
    assert error.kind == "dns"
    assert error.again == host.startswith("no-such-host")
    assert host in error.message


def test_connecting_takes_no_longer_than_its_timeout(
    world: World, full_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lean", "aiohttp", "aiohttp_connection"):
        name = f"streamproc.http.{module}.CONNECT_TIMEOUT_S"
        monkeypatch.setattr(name, 0.05)
    silent = Target("http", HOST, full_port)

    async def main() -> None:
        async with world.client(connections=1) as client:
            several = [outcome(client, world.request("/ok", target=silent)) for _ in range(3)]
            assert await asyncio.gather(*several) == [CONNECT] * 3

    world.run(main())


def test_connecting_can_be_cancelled(world: World, full_port: int) -> None:
    silent = Target("http", HOST, full_port)

    async def main() -> None:
        async with world.client(connections=1) as client:
            requests = [world.request("/ok", target=silent) for _ in range(3)]
            tasks = [asyncio.create_task(client.send(request)) for request in requests]
            await asyncio.to_thread(world.server.stats)
            for task in tasks:
                task.cancel()
            got = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in got)
            assert not any(request.sent for request in requests)

    world.run(main())
