"""What the misbehaving server does not do: answers written byte by byte, in the client's loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from asking import World, outcome
from servers.running import HOST

from streamproc.http.contract import Client, Request, Target

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_LARGE = "answer_too_large"


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def asking(
    world: World, serve: Serve, **settings: Any
) -> AsyncIterator[tuple[Client, Callable[..., Request]]]:
    """A client, and requests to a server that answers like this."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(converse, HOST, 0) as server:
        target = Target("http", HOST, server.sockets[0].getsockname()[1])

        def request(**options: Any) -> Request:
            return world.request("/", target=target, **options)

        async with world.client(connections=1, **settings) as client:
            yield client, request
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def kinds(world: World, answer: bytes, *, times: int = 1) -> list[Any]:
    """What becomes of requests that all get these bytes for an answer, on kept connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await head(reader):
            writer.write(answer)

    async def main() -> list[Any]:
        async with asking(world, serve) as (client, request):
            return [(await outcome(client, request()))[:2] for _ in range(times)]

    got: list[Any] = world.run(main())
    return got


GOOD = {
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "a strange reason": b"HTTP/1.1 200 \xc3\xa4 ok?\r\nContent-Length: 2\r\n\r\nok",
    "an empty line before": b"\r\n" + OK,
    "no UTF-8 in a header": b"HTTP/1.1 200 OK\r\nX: \xff\xe4\r\nContent-Length: 2\r\n\r\nok",
    "spaces around a value": b"HTTP/1.1 200 OK\r\nContent-Length: \t 2 \t \r\n\r\nok",
    "names in any case": b"HTTP/1.1 200 OK\r\nCONTENT-length: 2\r\n\r\nok",
    "headers twice": b"HTTP/1.1 200 OK\r\nDate: a\r\nDate: b\r\nContent-Length: 2\r\n\r\nok",
    "an offer to upgrade": b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
    b"Content-Length: 2\r\n\r\nok",
    "several interim answers": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK,
    "chunk extensions": CHUNKED + b'1;a=b;c\r\no\r\n1;q="x;y"\r\nk\r\n000;z\r\n\r\n',
    "trailers": CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
    "many chunks": CHUNKED + b"1\r\no\r\n0001\r\nk\r\n0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_rare_but_good(world: World, name: str) -> None:
    assert kinds(world, GOOD[name], times=3) == [(200, b"ok")] * 3


FLOODS = {
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"x" * 5000),
    "a header name": (b"HTTP/1.1 200 OK\r\n", b"x" * 5000),
    "a header value": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 5000),
    "short headers": (b"HTTP/1.1 200 OK\r\n", b"x:\r\n" * 1000),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", b"X: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 100),
    "a trailer": (CHUNKED + b"2\r\nok\r\n0\r\nX: ", b"y" * 5000),
    "a chunk extension": (CHUNKED + b"2;", b"x" * 5000),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 100 + b"\r\ny\r\n"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n" * 1000),
    "an empty line": (b"", b"\r\n" * 1000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_never_ends_is_ended(world: World, name: str) -> None:
    """Whatever it is that an answer has too much of: there is a limit, and nobody waits."""
    first, again = FLOODS[name]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0)

    async def main() -> None:
        async with asking(world, serve, max_body_bytes=100_000) as (client, request):
            assert (await outcome(client, request()))[0] in (TOO_LARGE, "bad_answer")

    world.run(main())


def reset(writer: asyncio.StreamWriter) -> None:
    """End it as a crash does."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nhalf", b"HTTP/1.0 200 OK\r\n\r\nhalf"])
def test_a_body_that_ends_with_its_connection_must_not_end_with_a_crash(
    world: World, answer: bytes
) -> None:
    """Half of an answer is none."""
    has_come = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(answer)
        await has_come.wait()
        reset(writer)

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            asked = asyncio.create_task(outcome(client, request()))
            for _ in range(20):  # turns of the loop, in which it comes
                await asyncio.sleep(0.001)
            has_come.set()
            assert await asked == ("reset", True, False, True, True)

    world.run(main())


def test_the_rest_of_a_request_does_not_follow_its_answer(world: World) -> None:
    """A service that answers before it has read all is not sent the rest: the connection ends."""
    heads, received = [], []
    is_answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(OK)
        await is_answered.wait()  # and reads nothing
        received.append(0)
        while data := await reader.read(1 << 20):
            received[-1] += len(data)

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            for body in (b"x" * 30_000_000, b""):
                got = await outcome(client, request(body=body))
                assert got[:2] == (200, b"ok")
            is_answered.set()

    world.run(main())
    assert [each[:4] for each in heads] == [b"POST", b"GET "]
    assert sum(received) < 30_000_000


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_body_that_must_not_come_is_not_the_next_answer(world: World, status: bytes) -> None:
    """An answer without one that announces one: what follows on its connection is nobody's."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await head(reader)
        if connections > 1:
            writer.write(OK)
        else:
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status)
            await head(reader)
            writer.write(b"hello" + OK)

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            assert (await outcome(client, request()))[:2] == (int(status[:3]), b"")
            assert (await outcome(client, request()))[:2] == (200, b"ok")

    world.run(main())
    assert connections == 2


def test_a_cancelled_upload_is_over_at_once(world: World) -> None:
    """Even if the other side never reads it."""
    has_come, is_over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        has_come.set()
        await is_over.wait()  # and reads nothing
        while await reader.read(1 << 20):
            pass

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            task = asyncio.create_task(client.send(request(body=b"x" * 30_000_000)))
            await has_come.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            is_over.set()

    world.run(main())


def test_what_comes_before_the_request_is_no_answer_to_it(world: World) -> None:
    """Answers that a server pushes as soon as it is connected to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await head(reader)
        await reader.read()

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            got = await outcome(client, request(body=b"{}"))
            # it may come at the same moment, when nobody can tell
            assert got[0] in ("reset", 200)

    world.run(main())


def test_the_answer_to_a_cancelled_request_is_never_given_to_another(world: World) -> None:
    """Whenever it comes: its connection is not used again."""
    numbers = iter(range(1000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await head(reader):
            number = line.partition(b"X-Number: ")[2].partition(b"\r\n")[0]
            await asyncio.sleep(0.001)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(number) + number)

    async def main() -> None:
        async with asking(world, serve) as (client, request):
            for delay_s in (0, 0.0005, 0.001, 0.0015, 0.002) * 10:
                cancelled = request(headers=b"X-Number: %d\r\n" % next(numbers))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await client.send(cancelled)
                number = b"%d" % next(numbers)
                response = await client.send(request(headers=b"X-Number: %b\r\n" % number))
                assert response.body == number

    world.run(main())
