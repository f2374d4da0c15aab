"""One misbehaving server for all; every test begins without connections and counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asking import CLIENTS, LOOPS, World
from servers.running import Server
from servers.sockets import until


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(kind: str, loop_kind: str, server: Server) -> Iterator[World]:
    """A client that leaves a connection open fails its test."""
    server.reset()
    yield World(kind, loop_kind, server)
    until(lambda: server.stats()["connections"]["open"] == 0)


@pytest.fixture
def aiohttp_world(loop_kind: str, server: Server) -> Iterator[World]:
    """For what only this client can do."""
    server.reset()
    yield World("aiohttp", loop_kind, server)
    until(lambda: server.stats()["connections"]["open"] == 0)
