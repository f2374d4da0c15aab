"""Answers that are broken: each is a fact, never a hang, a traceback or somebody else's answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import World, good, outcome

from streamproc.errors import CallError

FACTS = {  # again, throttled, is_outage
    "reset": (True, False, True),
    "bad_answer": (False, False, False),
    "answer_too_large": (False, False, False),
}
BROKEN = {
    "reset": [
        "/close/before", "/close/headers", "/close/body", "/close/chunk", "/reset/before",
        "/reset/body", "/length/long",
    ],
    "bad_answer": [
        "/length/duplicate", "/length/garbage", "/length/garbage?value=%2B5",
        "/length/garbage?value=-1", "/length/garbage?value=1,1",
        "/length/garbage?value=99999999999999999999999999", "/length/and-chunked",
        "/chunked/broken", "/chunked/broken?size=-1", "/chunked/broken?size=0x5",
        "/chunked/broken?size=ffffffffffffffffffff", "/switch", "/bad-status-line",
        "/bad-status-line?line=ICY%20200%20OK", "/bad-status-line?line=",
        "/bad-status-line?line=HTTP/1.1%20000%20OK", "/bad-header",
        "/bad-header?line=X:%00", "/bad-header?line=%20:%20x", "/gzip/broken?kind=garbage",
        "/gzip/broken?kind=checksum", "/gzip/broken?kind=cut", "/encoding",
        "/encoding?name=gzip", "/encoding?name=br", "/encoding?name=zstd",
        "/encoding?name=deflate",
    ],
    "answer_too_large": [
        "/endless", "/large?bytes=20000000", "/gzip/bomb", "/headers/huge",
        "/headers/long-line", "/headers/many",
    ],
}  # fmt: skip
CASES = [(kind, path) for kind, paths in BROKEN.items() for path in paths]

# The standard leaves these to the recipient, and parsers differ: the answer as it is announced,
# or a refusal.
EITHER = ["/length/short", "/length/same-twice", "/bare-lf", "/chunked", "/pipelined-garbage"]


@pytest.mark.parametrize(("expected", "path"), CASES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_broken_is_a_fact_and_its_connection_is_closed(
    world: World, method: str, path: str, expected: str
) -> None:
    """The next request gets its own answer, on another connection."""
    body = b"{}" if method == "POST" else b""

    async def main() -> None:
        async with world.client(connections=1) as client:
            for _ in range(2):
                request = world.request(path, body=body)
                got = await outcome(client, request)
                assert got == (expected, *FACTS[expected], True), got
                assert good(await client.send(world.request("/ok"))) == "/ok"

    world.run(main())
    looks_stale = path in ("/close/before", "/reset/before") and method == "GET"
    paths = world.server.stats()["paths"]
    assert paths[path.partition("?")[0]] == 2 + looks_stale  # on a fresh one nothing is repeated


@pytest.mark.parametrize("path", EITHER)
def test_what_parsers_differ_in_is_an_answer_or_a_fact(world: World, path: str) -> None:
    async def main() -> None:
        async with world.client(connections=1) as client:
            got = await outcome(client, world.request(path))
            assert got[0] in (200, "bad_answer")
            if got[0] == 200:
                assert b'{"path": "%b", "n": 1}' % path.encode() in (got[1], got[1] + b'": 1}')
            for _ in range(2):
                assert good(await client.send(world.request("/ok"))) == "/ok"

    world.run(main())


@pytest.mark.parametrize("path", ["/reset/body", "/close/body", "/chunked/broken", "/bad-header"])
def test_errors_say_what_they_come_from(world: World, path: str) -> None:
    """In words for users, without line breaks."""
    error = world.fails(path)
    assert isinstance(error, CallError)
    assert len(error.message) < 200
    assert error.message.isprintable()


def test_a_broken_answer_harms_only_its_own_request(world: World) -> None:
    paths = [path for _, path in CASES if not path.startswith(("/headers/huge", "/gzip/bomb"))]

    async def main() -> None:
        async with world.client(connections=8) as client:

            async def one(n: int) -> tuple[Any, ...]:
                return await outcome(client, world.request(paths[n] if n < len(paths) else "/ok"))

            got = await asyncio.gather(*map(one, range(2 * len(paths))))
        expected = [kind for kind, path in CASES if path in paths]
        assert [each[0] for each in got[: len(paths)]] == expected
        assert {each[0] for each in got[len(paths) :]} == {200}

    world.run(main())


MEASURE = """
import asyncio, resource, sys
from importlib import import_module
from streamproc.errors import CallError
from streamproc.http.contract import ClientOptions, Request, Target

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(module, name, port, path):
    target = Target("http", "127.0.0.1", port)
    async with getattr(import_module(module), name)(ClientOptions()) as client:
        await client.send(Request(target, b"GET", b"/gzip"))
        before = peak_kib()
        for _ in range(2):
            try:
                await client.send(Request(target, b"GET", path.encode()))
            except CallError as error:
                assert error.kind == "answer_too_large", error
            else:
                raise AssertionError("it came in")
        print(peak_kib() - before)

module, name, port, path = sys.argv[1:]
asyncio.run(main(module, name, int(port), path))
"""


@pytest.mark.parametrize(
    ("path", "limit_mib"),
    [("/gzip/bomb", 45), ("/endless", 45), ("/headers/huge", 8), ("/headers/long-line", 8)],
)
def test_memory_stays_bounded(kind: str, server: Any, path: str, limit_mib: int) -> None:
    """An answer of a gigabyte costs the limit, a few times over while it is copied."""
    from asking import CLIENTS

    command = [sys.executable, "-c", MEASURE, *CLIENTS[kind], str(server.port), path]
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=Path(__file__).parents[2], timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < limit_mib << 10
