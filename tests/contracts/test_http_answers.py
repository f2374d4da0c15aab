"""Answers that are right, in all the forms in which they come; and what was sent for them."""

from __future__ import annotations

import asyncio
import json

import pytest
from asking import ACCEPT, World, echoed, good, outcome
from servers.contents import FIXED

from streamproc.http.content import accepted_encodings
from streamproc.http.contract import MAX_BODY_BYTES

GOOD = ["/ok", "/delay?s=0.01", "/slow-body?s=0", "/bytes?s=0", "/cookie", "/length/none",
        "/http10", "/close-header", "/early-hints", "/early", "/stale", "/stale/idle",
        "/headers/many?count=3000", "/headers/long-line?bytes=60000", "/gzip", "/deflate",
        "/deflate?raw=1", "/br", "/zstd", "/encoding?name=identity",
        "/encoding?name=", "/gzip/broken?kind=trailing", "/redirect/chain?n=0"]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_a_good_answer_is_whole_however_it_comes(world: World, path: str) -> None:
    assert good(world.ask(path)) == path.partition("?")[0]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        *((path, 200, body) for path, body in FIXED.items()),
        ("/204", 204, b""), ("/304", 304, b""), ("/status/404?body=no", 404, b"no"),
        ("/status/500?body=", 500, b""), ("/status/799?body=x", 799, b"x"),
        ("/large?bytes=200000", 200, b'"' + b"a" * 199_998 + b'"'),
        ("/gzip/bomb?mb=1", 200, b'"' + b"0" * 1_000_000 + b'"'),  # in chunks
        ("/company/A%20%26%20B", 200, b'{"name": "A & B", "size": 3095}'),
    ],
)  # fmt: skip
def test_status_and_body_come_as_they_are(
    world: World, path: str, status: int, body: bytes
) -> None:
    """Any status is an answer; what it means is not the client's business."""
    response = world.ask(path)
    assert (response.status, response.body) == (status, body)


def test_redirects_are_answers_unless_they_are_wanted(world: World) -> None:
    response = world.ask("/redirect/to?url=/ok&code=307")
    assert (response.status, response.header(b"location")) == (307, "/ok")


def test_headers_come_as_they_came(world: World) -> None:
    response = world.ask("/cookie")
    assert [name for name, _ in response.headers] == [
        b"Content-Type", b"Content-Length", b"Set-Cookie",
    ]  # fmt: skip
    assert response.header(b"set-cookie") == "session=secret; Path=/"
    assert response.header(b"unheard-of") is None


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 3_000_000])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_arrive(world: World, method: str, body: bytes) -> None:
    request = {"method": method, "body": body, "headers": ACCEPT + b"Content-Type: text/x\r\n"}
    echo = echoed(world.ask("/echo", **request))
    assert (echo["method"], echo["body"]) == (method, body.decode())
    assert echo["headers"].get("content-length", "0") == str(len(body))
    assert "transfer-encoding" not in echo["headers"]


def test_the_client_adds_its_own_headers_and_no_others(world: World) -> None:
    headers = "X-Name: M\xfcller\r\nAuthorization: Bearer x\r\nUser-agent: me\r\n".encode()
    sent = echoed(world.ask("/echo", headers=headers, options={"user_agent": ""}))["headers"]
    sent.pop("connection", None)
    assert sent == {
        "host": f"127.0.0.1:{world.server.port}",
        "accept-encoding": accepted_encodings().decode(),
        "x-name": "M\xfcller".encode().decode("latin-1"),  # as the server shows bytes
        "authorization": "Bearer x",
        "user-agent": "me",
    }
    sent = echoed(world.ask("/echo", options={"user_agent": "streamproc/1"}))["headers"]
    assert sent["user-agent"] == "streamproc/1"


@pytest.mark.parametrize(
    "query",
    ["a=%2F+b&c=%20;d=%c3%a4%C3%A4", "", "a=%7E~", "q='()*!$,:@/?", "a&&b==", "x=%zz%", "a=../.."],
)
def test_urls_are_sent_exactly_as_given(world: World, query: str) -> None:
    """What a service signs or compares must not be written in another way."""
    assert echoed(world.ask(f"/echo?{query}"))["query"] == query
    path = "/company/a%2fb%2Fc;x=1"
    assert world.ask(path).status == 200
    assert world.ask(f"//x//../%2e%2E/.{path}?{query}").status == 404
    paths = world.server.stats()["paths"]
    assert paths == {"/echo": 1, path: 1, f"//x//../%2e%2E/.{path}": 1}


def test_an_answer_may_come_before_the_request_was_read(world: World) -> None:
    """The rest of the body is not sent into the next request; nothing waits for ever."""

    async def main() -> None:
        async with world.client(connections=1) as client:
            first = await client.send(world.request("/continue", body=b"[]"))
            assert good(first) == "/continue"
            for _ in range(3):
                early = await outcome(client, world.request("/early", body=b" " * 20_000_000))
                assert early[0] in (200, "reset")  # its closing may overtake its answer
                assert good(await client.send(world.request("/ok"))) == "/ok"

    world.run(main())


def test_many_at_once_get_each_their_own_answer(world: World) -> None:
    async def main() -> None:
        async with world.client(connections=16) as client:

            async def one(n: int) -> None:
                response = await client.send(world.request(f"/company/n{n}?s=0.00{n % 5}"))
                assert json.loads(response.body)["name"] == f"n{n}"

            await asyncio.gather(*map(one, range(300)))

    world.run(main())
    connections = world.server.stats()["connections"]
    assert connections["accepted"] <= 16


def test_a_body_of_exactly_the_limit_is_fine(world: World) -> None:
    options = {"max_body_bytes": 100_000}
    for path in ("/large?bytes=100000", "/large?bytes=100000&s=0"):
        assert len(world.ask(path, options=options).body) == 100_000
    assert world.fails("/large?bytes=100001", options=options).kind == "answer_too_large"
    options = {"max_body_bytes": 1_000_002}
    assert len(world.ask("/gzip/bomb?mb=1", options=options).body) == 1_000_002
    options = {"max_body_bytes": 1_000_001}
    assert world.fails("/gzip/bomb?mb=1", options=options).kind == "answer_too_large"
    assert MAX_BODY_BYTES == 10 << 20
