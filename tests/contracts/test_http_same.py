"""Both clients see the same: status, body, kind of error, and what was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from asking import CLIENTS, World, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.running import Server
from servers.sockets import until
from test_http_answers import GOOD
from test_http_broken import CASES

PLAIN = ["/status/404", "/status/500?body=x", "/204", "/304", "/empty", "/bad-utf8", "/null",
         "/redirect/loop", "/redirect/to?url=http://else.where/"]  # fmt: skip
UNTIMELY = ("/stale/idle", "/headers/huge", "/gzip/bomb", "/early")  # or slow, or a race
PATHS = [path for path in [*GOOD, *PLAIN] + [path for _, path in CASES]
         if not path.startswith(UNTIMELY) or path == "/early-hints"]  # fmt: skip


@pytest.fixture
def worlds(server: Server) -> Iterator[list[World]]:
    server.reset()
    yield [World(kind, "uvloop", server) for kind in CLIENTS]
    until(lambda: server.stats()["connections"]["open"] == 0)


def uncounted(got: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the server's count of requests, and the order of headers in an echo."""
    if not isinstance(got[1], bytes):
        return got
    try:
        body = json.loads(got[1])
    except ValueError:
        return got
    if isinstance(body, dict):
        body.pop("n", None)
        if "headers" in body:
            body["headers"] = sorted([name.lower(), value] for name, value in body["headers"])
    return got[0], body, *got[2:]


async def conversation(world: World, steps: list[tuple[str, str]]) -> list[tuple[Any, ...]]:
    """All requests of it on one connection, as far as that lives."""
    got = []
    async with world.client(connections=1) as client:
        for method, path in steps:
            body = b"" if method == "GET" else b'{"x": 1}'
            request = world.request(path, method=method, body=body)
            got.append(uncounted(await outcome(client, request)))
    return got


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_each_answer_is_the_same_fact(worlds: list[World], method: str) -> None:
    for path in PATHS:
        lean, other = (world.run(conversation(world, [(method, path)])) for world in worlds)
        assert lean == other, path


@pytest.mark.parametrize("path", ["/echo", "/echo?a=%2F+b&c=%20;d='", "/echo?", "/echo?%c3%A4=~"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_same_bytes_are_sent(worlds: list[World], method: str, path: str) -> None:
    """Up to the order and the case of headers."""
    lean, other = (world.run(conversation(world, [(method, path)])) for world in worlds)
    assert lean == other


STEP = st.tuples(st.sampled_from(["GET", "POST", "PUT"]), st.sampled_from([*PATHS, "/stale"]))


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, max_size=8))
def test_any_conversation_is_the_same(worlds: list[World], steps: list[tuple[str, str]]) -> None:
    """Kept, closed and stale connections are met in the same places."""
    lean, other = (world.run(conversation(world, steps)) for world in worlds)
    assert lean == other


def test_side_by_side_in_one_loop(worlds: list[World]) -> None:
    """Two stages of a pipeline, with a client each."""
    steps = [("GET", path) for path in PATHS]

    async def main() -> list[Any]:
        return await asyncio.gather(*[conversation(world, steps) for world in worlds])

    lean, other = worlds[0].run(main())
    assert lean == other
