"""Hosts beyond ASCII: looked up, named and led to as browsers do."""

from __future__ import annotations

from typing import Any

import pytest
from asking import World, echoed, good
from servers.running import HOST

from streamproc.http import addresses
from streamproc.http.contract import Target
from streamproc.http.template import Template
from streamproc.http.url import Url

SENT = "xn--strae-oqa.example"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were looked up; all of them are the server's."""
    names: list[str] = []

    async def ask(host: str) -> Any:
        names.append(host)
        return [(2, HOST)]

    monkeypatch.setattr(addresses, "_ask", ask)
    return names


def test_a_name_beyond_ascii_goes_out_in_ascii(world: World, asked: list[str]) -> None:
    written = f"http://straße.example:{world.server.port}/echo"
    target, path = Url(Template.parse(written), {}).render({})
    echo = echoed(world.ask(path, target=target))
    assert asked == [SENT]
    assert echo["headers"]["host"] == f"{SENT}:{target.port}"


@pytest.mark.parametrize("written", ["stra%25C3%259Fe.example", "stra%C3%83%C2%9Fe.example", SENT])
def test_a_redirect_to_a_name_beyond_ascii(
    aiohttp_world: World, asked: list[str], written: str
) -> None:
    """Percent-encoded, as its bytes, or as it goes out."""
    world = aiohttp_world
    path = f"/redirect/to?url=http://{written}:{world.server.port}/ok"
    assert good(world.ask(path, options={"redirects": 1})) == "/ok"
    assert asked[-1] == SENT


@pytest.mark.parametrize("host", ["%25E2%2598%2583.net", "a..b", "a%255cb", "%25ff.net"])
def test_a_redirect_to_no_host(aiohttp_world: World, asked: list[str], host: str) -> None:
    world = aiohttp_world
    target = Target("http", HOST, world.server.port)
    path = f"/redirect/to?url=http://{host}/ok"
    error = world.fails(path, target=target, options={"redirects": 1})
    assert (error.kind, asked) == ("bad_answer", [HOST] * len(asked))
    assert "is not a host name" in error.message
