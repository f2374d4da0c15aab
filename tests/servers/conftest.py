"""One server for all tests of a file; every test begins with no counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.running import Server
from servers.sockets import until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def forgotten(server: Server) -> None:
    until(lambda: server.stats()["connections"]["open"] == 0)
    server.reset()
