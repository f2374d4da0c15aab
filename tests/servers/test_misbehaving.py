"""The misbehaving server's answers are what it says, byte by byte."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from servers.contents import FIXED, brotli, zstandard
from servers.running import Server
from servers.sockets import (
    ask,
    connect,
    connect_tls,
    dechunk,
    good,
    raw,
    read_all,
    read_answer,
    request,
    until,
)

PATIENCE_S = 30


GOOD = ["/ok", "/ok?s=0.01", "/delay?s=0.01", "/slow-body?s=0", "/bytes?s=0", "/cookie", "/early",
        "/length/same-twice", "/length/none", "/status/200", "/redirect/chain?n=0", "/close-header",
        "/http10", "/headers/many", "/headers/long-line", "/headers/huge?mb=1", "/stale",
        "/flaky?share=0", "/stale/idle", "/capacity?s=0.01", "/outage"]  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_good_answers(server: Server, path: str) -> None:
    status, _, body = ask(server, path)
    assert (status, body) == (200, good(path.partition("?")[0]))


def test_keep_alive_and_counts(server: Server) -> None:
    """Requests are counted, and answers come one after another on one connection."""
    with connect(server) as connection:
        for number in range(1, 4):
            connection.sendall(request("/ok?a=b", last=False))
            assert read_answer(connection) == (200, good("/ok", number))
        stats = server.stats()
        assert stats["connections"] == {"accepted": 1, "open": 1, "dropped": 0}
    assert (stats["total"], stats["paths"]) == (3, {"/ok": 3})
    assert stats["max_in_progress"] == {"overall": 1, "paths": {"/ok": 1}}
    assert [entry[1:] for entry in stats["arrivals"]] == [["/ok", 200]] * 3
    assert 0 <= stats["arrivals"][0][0] <= stats["arrivals"][2][0] <= stats["now"] < PATIENCE_S


def test_echo(server: Server) -> None:
    status, _, body = ask(server, "/echo?a=1&b", body=b"text", method="PATCH")
    assert status == 200
    echo = json.loads(body)
    assert ["Host", "here"] in echo.pop("headers")
    assert echo == {"method": "PATCH", "path": "/echo", "query": "a=1&b", "body": "text"}


def test_echo_of_chunks(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
        assert json.loads(read_answer(connection)[1])["body"] == "abcde"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        *((path, 200, body) for path, body in FIXED.items()),
        ("/204", 204, b""), ("/304", 304, b""), ("/status/404?body=no", 404, b"no"),
        ("/nowhere", 404, b'{"error": "no such path"}'), ("/status/799", 799, good("/status/799")),
        ("/deep", 200, b"[" * 100_000 + b"]" * 100_000),
        ("/large?bytes=200000", 200, b'"' + b"a" * 199_998 + b'"'),
        ("/bulk", 400, b'{"error": "the body has to be a JSON list"}'),
        ("/company/A%20%26%20B", 200, b'{"name": "A & B", "size": 3095}'),
        ("/utf16", 200, good("/utf16").decode().encode("utf-16")),
    ],
)  # fmt: skip
def test_contents(server: Server, path: str, status: int, body: bytes) -> None:
    assert ask(server, path)[::2] == (status, body)


def test_bad_parameters(server: Server) -> None:
    status, _, body = ask(server, "/ok?s=soon")
    assert status == 400
    assert b"soon" in body


def test_bulk(server: Server) -> None:
    items = [{"id": f"x{i}"} for i in range(5)]
    body = json.dumps(items).encode()
    whole: list[dict[str, Any]] = [{"i": i, "got": item} for i, item in enumerate(items)]
    assert json.loads(ask(server, "/bulk", body=body)[2]) == whole
    assert json.loads(ask(server, "/bulk/short", body=body)[2]) == whole[:-1]
    shuffled = json.loads(ask(server, "/bulk/shuffled?key=id", body=body)[2])
    named = [answer | {"id": answer["got"]["id"]} for answer in whole]
    assert shuffled != named
    assert sorted(shuffled, key=lambda answer: answer["i"]) == named


CLOSED = {
    "/close/before": (b"", b""),
    "/close/headers": (b"HTTP/1.1 200 OK\r\n", b"Content-Type:"[:13]),
    "/close/body": (b"HTTP/1.1 200 OK\r\n", good("/close/body")[:-10]),
    "/close/chunk": (b"HTTP/1.1 200 OK\r\n", b"64\r\n" + good("/close/chunk")),
    "/length/short": (b"HTTP/1.1 200 OK\r\n", good("/length/short")),
    "/length/long": (b"HTTP/1.1 200 OK\r\n", good("/length/long")),
    "/pipelined-garbage": (b"HTTP/1.1 200 OK\r\n", b"}\x00garbage\r\n\r\n"),
    "/bad-status-line": (b"HTTP/1.1 banana\r\n", good("/bad-status-line")),
    "/chunked/broken": (b"HTTP/1.1 200 OK\r\n", b'zz\r\n "/chunked/broken", "n": 1}\r\n0\r\n\r\n'),
    "/continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", good("/continue")),
    "/early-hints": (b"HTTP/1.1 103 Early Hints\r\n", good("/early-hints")),
    "/http10": (b"HTTP/1.0 200 OK\r\n", good("/http10")),
    "/bare-lf": (b"HTTP/1.1 200 OK\nContent-Type", b"\n\n" + good("/bare-lf")),
}  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
def test_bytes_until_close(server: Server, path: str) -> None:
    answer = raw(server, path)
    start, end = CLOSED[path]
    assert answer.startswith(start)
    assert answer.endswith(end)
    assert path != "/close/before" or answer == b""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/length/short", b"Content-Length: %d" % (len(good("/length/short")) - 5)),
        ("/length/long", b"Content-Length: %d" % (len(good("/length/long")) + 5)),
        ("/length/duplicate", b"Content-Length: 37\r\nContent-Length: 32"),
        ("/length/same-twice", b"Content-Length: 38\r\nContent-Length: 38"),
        ("/length/garbage?value=%2B5", b"Content-Length: +5"),
        ("/length/and-chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("/bad-header", b"\r\nthis is no header\r\n"),
        ("/cookie", b"Set-Cookie: session=secret; Path=/"),
        ("/redirect/loop", b"\r\nLocation: /redirect/loop\r\n"),
        ("/redirect/loop", b"HTTP/1.1 302 Found\r\n"),
        ("/redirect/chain", b"Location: /redirect/chain?n=2"),
        ("/redirect/to?url=http%3A//else.where/&code=307", b"Location: http://else.where/"),
        ("/utf16?charset=1", b"Content-Type: application/json; charset=utf-16"),
        ("/html", b"Content-Type: text/html"),
        ("/encoding?name=rot13", b"Content-Encoding: rot13"),
        ("/close-header", b"Connection: close"),
        ("/429", b"Retry-After: 1\r\n"), ("/429?after=0.5&form=decimal", b"Retry-After: 0.5\r\n"),
        ("/429?after=0.3&form=ms", b"retry-after-ms: 300"),
        ("/429?form=reset-delta&after=2", b"Reset: 2\r\n"),
        ("/429?status=503", b" 503 Service"),
    ],
)  # fmt: skip
def test_headers(server: Server, path: str, line: bytes) -> None:
    assert line in ask(server, path)[1]


@pytest.mark.parametrize("path", ["/reset/before", "/reset/body"])
def test_resets(server: Server, path: str) -> None:
    with connect(server) as connection:
        connection.sendall(request(path))
        if path == "/reset/body":
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            read_all(connection)


def test_no_answer(server: Server) -> None:
    """Nothing comes, until the client leaves; 101 is all that comes of a switch."""
    with connect(server) as never, connect(server) as switch:
        never.sendall(request("/never"))
        switch.sendall(request("/switch"))
        assert switch.recv(65536).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        until(lambda: server.stats()["in_progress"] == 2)
        switch.settimeout(0.1)
        never.settimeout(0.1)
        for connection in (never, switch):
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert server.stats()["in_progress"] == 2
    until(lambda: server.stats()["in_progress"] == 0)


def test_chunks(server: Server) -> None:
    status, head, body = ask(server, "/chunked")
    assert (status, dechunk(body)) == (200, good("/chunked"))
    assert b"Transfer-Encoding: chunked" in head
    assert body.endswith(b"\r\n000\r\nX-Checked: yes\r\n\r\n")
    assert dechunk(ask(server, "/length/and-chunked")[2]) == good("/length/and-chunked", 2)


def test_encodings(server: Server) -> None:
    assert gzip.decompress(ask(server, "/gzip")[2]) == good("/gzip")
    assert zlib.decompress(ask(server, "/deflate")[2]) == good("/deflate", 2)
    assert zlib.decompress(ask(server, "/deflate?raw=1")[2], -15) == good("/deflate", 3)
    for kind in ("garbage", "checksum", "cut"):
        with pytest.raises((OSError, EOFError, zlib.error)):
            gzip.decompress(ask(server, f"/gzip/broken?kind={kind}")[2])
    bomb = dechunk(ask(server, "/gzip/bomb?mb=3")[2])
    assert len(bomb) < 10_000
    assert gzip.decompress(bomb) == b'"' + b"0" * 3_000_000 + b'"'
    status, _, body = ask(server, "/br")
    assert status == 501 if brotli is None else brotli.decompress(body) == good("/br", 8)
    status, _, body = ask(server, "/zstd")
    if zstandard is None:
        assert status == 501
    else:
        assert zstandard.ZstdDecompressor().decompress(body) == good("/zstd", 9)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("path", ["/endless", "/headers/huge", "/gzip/bomb"])
def test_endless_answers_end_when_the_client_leaves(server: Server, path: str, tls: bool) -> None:
    with connect_tls(server) if tls else connect(server) as connection:
        connection.sendall(request(path))
        received = 0
        while received < 300_000:
            received += len(connection.recv(65536))
    until(lambda: server.stats()["connections"]["open"] == 0)
