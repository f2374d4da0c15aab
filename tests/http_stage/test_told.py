"""Errors of calls name method, URL, what came back, and what to do."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers.running import Server

pytestmark = pytest.mark.forked
CLIENTS = pytest.mark.parametrize("client", ["lean", "aiohttp"])


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """The kernel takes connections, and nobody answers them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """Not even the kernel takes another connection."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server


def once(client: str, url: str, more: str = "", timeout: str = "30s") -> str:
    http = f'{{ url = "{url}", client = "{client}" {more} }}'
    return f'timeout = "{timeout}"\nretry = false\nhttp = {http}'


@CLIENTS
@pytest.mark.parametrize(
    ("scheme", "phase"), [("http", "waiting for the answer"), ("https", "in the TLS handshake")]
)
def test_a_timeout_says_how_far_it_got(
    enrich: Any, silent: socket.socket, client: str, scheme: str, phase: str
) -> None:
    if (client, scheme) == ("aiohttp", "https"):
        phase = "connecting"  # it does not tell these apart
    url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/a"
    (error,) = enrich(once(client, url, timeout="0.3s")).errors
    assert (error["kind"], error["message"]) == (
        "timeout",
        f"GET {url}: no result within 0.3 s, {phase}",
    )


@CLIENTS
def test_a_timeout_while_connecting(enrich: Any, full: socket.socket, client: str) -> None:
    url = f"http://127.0.0.1:{full.getsockname()[1]}/a"
    (error,) = enrich(once(client, url, timeout="0.3s")).errors
    assert error["message"] == f"GET {url}: no result within 0.3 s, connecting"


@CLIENTS
def test_a_timeout_while_reading(enrich: Any, server: Server, client: str) -> None:
    (error,) = enrich(once(client, "SERVER/slow-body?s=10", timeout="1s")).errors
    assert error["message"] == (
        f"GET {server.url}/slow-body?s=10: no result within 1 s, reading the answer"
    )


@CLIENTS
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_says_where_to(enrich: Any, server: Server, client: str, code: int) -> None:
    """And how to follow it; without secrets."""
    place = "http%3A//u%3Apw@else.where/%3Ftoken%3Dpw%26a%3Db"
    text = once(client, f"SERVER/redirect/to?url={place}&code={code}&token=hidden")
    outcome = enrich(text)
    (error,) = outcome.errors
    assert error["message"].startswith(f"GET {server.url}/redirect/to?url=")
    assert error["message"].endswith(
        " to http://***@else.where/?token=***&a=b: to follow it set redirects = true"
    )
    assert outcome.stderr.startswith(
        b"streamproc: warning: <stdin>:1: http_status %d in x: " % code
    )


@CLIENTS
def test_all_name_their_call(enrich: Any, server: Server, client: str) -> None:
    """Whatever went wrong, the message begins with method and URL, and masks what is secret."""
    paths = ["/html", "/status/500?body=oops", "/status/401?api_key=hidden", "/close/before"]
    for path in paths:
        outcome = enrich(once(client, "SERVER" + path, ', method = "POST", json = {}'))
        (error,) = outcome.errors
        shown = path.replace("hidden", "***")
        assert error["message"].startswith(f"POST {server.url}{shown}: ")
        assert b"hidden" not in outcome.stdout + outcome.stderr
    (error,) = enrich(once(client, "http://127.0.0.1:1/x")).errors
    assert error["message"].startswith("GET http://127.0.0.1:1/x: ")
    assert error["message"].count("127.0.0.1:1") == 1


def test_of_a_list_too(enrich: Any, server: Server) -> None:
    text = 'retry = false\nbatch = 2\nhttp = { url = "SERVER/status/500", json = { n = "{n}" } }'
    errors = enrich(text, {"n": 1}, {"n": 2}).errors
    assert len(errors) == 2
    assert all(
        error["message"].startswith(f"POST {server.url}/status/500: 500 Internal Server Error: {{")
        for error in errors
    )


@CLIENTS
@pytest.mark.parametrize(
    ("path", "method", "is_told"),
    [("/status/503", "POST", True), ("/close/before", "POST", True), ("/status/400", "POST", False),
     ("/status/503", "GET", False)],
)  # fmt: skip
def test_what_is_not_repeated_says_how_to_permit_it(
    enrich: Any, client: str, path: str, method: str, is_told: bool
) -> None:
    (error,) = enrich(once(client, "SERVER" + path, f', method = "{method}"')).errors
    said = error["message"].endswith("--set STAGE.retry.idempotent=true permits it")
    assert (said, error["attempts"]) == (is_told, 1)
