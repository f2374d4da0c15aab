"""What a client never has too many of: connections, headers, pieces, files, cookies."""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import tracemalloc
from collections.abc import Iterator

import pytest
from asking import World, echoed, good, outcome
from test_http_pool import seen
from test_http_raw import CHUNKED, asking, head

from streamproc.http.contract import Request, Target

MIB = 1 << 20


def test_a_repeat_that_is_given_up_gives_its_connection_back(world: World) -> None:
    """A kept connection was stale, and the fresh one hangs: cancelling closes that one, too."""

    async def main() -> None:
        async with world.client(connections=1) as client:
            for _ in range(3):
                assert good(await client.send(world.request("/stale"))) == "/stale"
                task = asyncio.create_task(client.send(world.request("/never")))
                await seen(world, lambda stats: stats["in_progress"] == 1)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await seen(world, lambda stats: stats["connections"]["open"] == 0)
            assert good(await client.send(world.request("/ok"))) == "/ok"

    world.run(main())


@pytest.mark.parametrize("piece", [1 << 20, 5000])
@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"X-Long: " + b"a" * 9990 + b"\r\n"])
@pytest.mark.parametrize(("size", "is_fine"), [(60_000, True), (70_000, False), (94_000, False)])
def test_headers_have_one_limit(
    world: World, size: int, is_fine: bool, line: bytes, piece: int
) -> None:
    """64 KiB in both clients, however they come; what follows them does not matter."""
    headers = line * (size // len(line))
    answer = b"HTTP/1.1 200 OK\r\n%bContent-Length: 20000\r\n\r\n" % headers + b"x" * 20_000

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await head(reader):
                for start in range(0, len(answer), piece):
                    writer.write(answer[start : start + piece])
                    await writer.drain()
                    await asyncio.sleep(0)

        async with asking(world, serve) as (client, request):
            got = (await outcome(client, request()))[0]
            assert got == (200 if is_fine else "answer_too_large")

    world.run(main())


def test_a_body_in_tiny_chunks_takes_about_its_size(world: World) -> None:
    body_bytes = 300_000
    answer = CHUNKED + b"2\r\nxy\r\n" * (body_bytes // 2) + b"0\r\n\r\n"

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await head(reader)
            for start in range(0, len(answer), 1 << 16):
                writer.write(answer[start : start + (1 << 16)])
                await writer.drain()

        async with asking(world, serve) as (client, request):
            tracemalloc.start()
            try:
                response = await client.send(request())
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert response.body == b"xy" * (body_bytes // 2)
        assert peak_bytes < 16 * body_bytes  # each chunk as an object: 21 times, and more

    world.run(main())


def test_a_body_of_very_many_streams_keeps_nobody_waiting(world: World) -> None:
    """Ten kilobytes that are gzip twice, and 300,000 members; another call is answered first."""
    body = gzip.compress(gzip.compress(b"") * 300_000 + gzip.compress(b"[1]"))
    lines = b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: %d" % len(body)

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await head(reader):
                writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (lines, body))

        async with asking(world, serve) as (client, request):
            order: list[bytes] = []

            async def ask(asked: Request) -> None:
                order.append((await client.send(asked)).body[:3])

            slow = asyncio.create_task(ask(request()))
            await asyncio.sleep(0.02)
            await ask(world.request("/ok"))
            await slow
            assert order[-1] == b"[1]"

    world.run(main())


def test_long_headers_of_requests_are_not_kept(world: World) -> None:
    """A record may fill a header with a megabyte; the next one has another."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        async with asking(world, serve) as (client, request):
            tracemalloc.start()
            try:
                for n in range(200):
                    await client.send(request(headers=b"X-N: %d%b\r\n" % (n, b"x" * 50_000)))
                kept_bytes, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert kept_bytes < MIB

    world.run(main())


@pytest.fixture
def no_more_files() -> Iterator[None]:
    """As many as are open now, and a few for the loop."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("no_more_files")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_lack_of_files_is_nobodys_outage(world: World, host: str) -> None:
    """It may pass, and it says what to do; afterwards everything works."""
    target = Target("http", host, world.server.port)

    async def main() -> None:
        async with world.client() as client:
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            probe = os.open(os.devnull, os.O_RDONLY)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe, most))
            request = world.request("/ok", target=target)
            got = await outcome(client, request)
            error = None
            try:
                await client.send(request)
            except Exception as raised:
                error = raised
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 100, most))
            assert got[1:] == (True, False, False, False)
            assert got[0] in ("connect", "dns")
            assert "ulimit -n" in str(error)
            await asyncio.sleep(1.1)  # a name without an address is remembered for a second
            assert good(await client.send(request)) == "/ok"

    world.run(main())


def test_no_cookie_goes_from_one_call_to_the_next(world: World) -> None:
    """Each call has what its own request says, and nothing that an earlier answer did."""

    async def main() -> None:
        async with world.client() as client:
            await client.send(world.request("/cookie"))
            assert "cookie" not in echoed(await client.send(world.request("/echo")))["headers"]
            request = world.request("/echo", headers=b"Cookie: a=b\r\n")
            assert echoed(await client.send(request))["headers"]["cookie"] == "a=b"

    world.run(main())
