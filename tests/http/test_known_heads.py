"""An answer whose head is known is what the parser would make of it, and no other answer is known.

The same conversation goes to a connection that knows the heads of all answers before, and to one
that knows none: what becomes of each request must be the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.errors import CallError
from streamproc.http import known_heads
from streamproc.http.connection import Connection, StaleError
from streamproc.http.contract import Request, Target
from streamproc.http.known_heads import KnownHeads

Loop = asyncio.AbstractEventLoop
MAX_BODY_BYTES = 1000
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Wire:
    """Transport and owner of one connection after another."""

    def __init__(self, loop: Loop, known: KnownHeads) -> None:
        self.loop = loop
        self.known = known
        self.unsent_bytes = 0
        self.free: list[Connection] = []

    def take(self) -> Connection:
        if self.free:
            return self.free.pop()
        connection = Connection(self, MAX_BODY_BYTES, self.known)
        connection.connection_made(self)  # type: ignore[arg-type]  # what is used of a transport
        return connection

    def write(self, data: bytes) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        pass

    def freed(self, connection: Connection) -> None:
        self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self.free:
            self.free.remove(connection)

    def ask(self, pieces: list[bytes]) -> tuple[Any, ...]:
        """What becomes of a request that is answered so, and of its connection."""
        connection = self.take()
        answer = self.loop.create_future()
        connection.ask(Request(Target("http", "h", 80), b"GET", b"/"), b"", answer)
        left = list(pieces)
        while left and not answer.done():
            connection.data_received(left.pop(0))
        is_open = connection.is_open
        if not answer.done():
            connection.connection_lost(None)
        elif left:
            connection.data_received(left.pop(0))  # nobody asked
        try:
            got = answer.result()
        except (CallError, StaleError) as error:
            return repr(error), getattr(error, "kind", ""), is_open, connection.is_open
        return got.status, list(got.headers), got.body, is_open, connection.is_open


def conversation(loop: Loop, answers: list[list[bytes]], known: KnownHeads | None) -> list[Any]:
    """Without `known`: what the parser makes of all of them."""
    wire = Wire(loop, KnownHeads() if known is None else known)
    got = []
    for pieces in answers:
        if known is None:
            wire.known.clear()
        got.append(wire.ask(pieces))
    return got


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """It is not run: nobody waits for the answers."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


STATUSES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 404 Not Found", b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 099 Low",
    b"HTTP/1.1 101 Switching", b"HTTP/2.0 200 OK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK",
    b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK",
]  # fmt: skip
LINES = [
    b"Content-Length: 2", b"content-length: 2", b"Content-Length: 0", b"Content-Length: 3",
    b"Content-Length: +2", b"Content-Length: 2, 2", b"Content-Length : 2", b"Content-Length: 2000",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"transfer-encoding:\tchunked",
    b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade", b"Upgrade: h2c",
    b"Content-Encoding: gzip", b"Content-Encoding: identity", b"Date: now", b"X: \xff",
    b"X: folded\r\n line", b"X: bare\nContent-Length: 3", b"X: y\rZ: 1", b"No colon", b"X: \x00",
    b": no name", b"", b"X: " + 2000 * b"y",
]  # fmt: skip
ENDS = [b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"]
BODIES = [
    b"ok", b"", b"ok!", b"2\r\nok\r\n0\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n", b"ok" + PLAIN + b"no",
    b"x" * 2000,
]  # fmt: skip


def head(status: bytes, lines: list[bytes], end: bytes) -> bytes:
    return b"\r\n".join([status, *lines]) + end


ODD = [  # in one respect, or in two
    *(head(STATUSES[0], [line], ENDS[0]) for line in LINES),
    *(head(status, [line, LINES[0]], ENDS[0]) for status, line in product(STATUSES, LINES)),
    *(head(STATUSES[0], [line, LINES[0]], end) for line, end in product(LINES, ENDS)),
]


@pytest.mark.parametrize("body", BODIES)
def test_the_parser_has_the_only_opinion(loop: Loop, body: bytes) -> None:
    """Of every answer with something odd about it, when it comes again, or another body does."""
    for begin in ODD:
        answers = [[begin + body], [begin + body], [begin + b"ok"]]
        assert conversation(loop, answers, KnownHeads()) == conversation(loop, answers, None)


HEADS = st.builds(head, st.sampled_from(STATUSES), st.lists(st.sampled_from(LINES), max_size=3),
                  st.sampled_from(ENDS))  # fmt: skip


@st.composite
def pieces(draw: st.DrawFn, heads: list[bytes]) -> list[bytes]:
    data = draw(st.sampled_from(heads)) + draw(st.sampled_from(BODIES))
    at = draw(st.just(0) | st.integers(0, len(data)))
    return [piece for piece in (data[:at], data[at:]) if piece]


@settings(max_examples=100)
@given(data=st.data(), heads=st.lists(HEADS, max_size=3))
def test_wherever_an_answer_is_cut(loop: Loop, data: st.DataObject, heads: list[bytes]) -> None:
    """And whatever came before it, on the same connection or another one."""
    answers = data.draw(st.lists(pieces([PLAIN, *heads]), min_size=2, max_size=8))
    assert conversation(loop, answers, KnownHeads()) == conversation(loop, answers, None)


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN + b"ok",
        b"HTTP/1.1 404 Not Found\r\ncontent-length:2\r\nDate: now\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_usual_answers_are_known(loop: Loop, answer: bytes) -> None:
    known = KnownHeads()
    got = conversation(loop, [[answer]] * 3, known)
    assert got[0] == got[1] == got[2]
    assert known.hits == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: identity\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN + b"ok",
        b"\r\n" + PLAIN[:-2] + b"\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 2\r\n\r\nok" % (b"y" * 2000),
        PLAIN + b"ok" + PLAIN + b"ok",
    ],
)
def test_unusual_answers_are_not(loop: Loop, answer: bytes) -> None:
    known = KnownHeads()
    conversation(loop, [[answer]] * 3, known)
    assert known.hits == len(known) == 0


def test_a_request_that_is_not_all_sent_ends_its_connection(loop: Loop) -> None:
    """The rest of it would follow, and its answer would be the next one's."""
    wire = Wire(loop, KnownHeads())
    assert wire.ask([PLAIN + b"ok"])[-1]
    wire.unsent_bytes = 5
    assert wire.ask([PLAIN + b"ok"])[:3] == (200, [(b"Content-Length", b"2")], b"ok")
    assert wire.known.hits == 1
    assert not wire.free


def test_heads_that_never_come_again_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dictionary is bounded, and whoever learns nothing useful stops learning."""
    monkeypatch.setattr(known_heads, "_MOST", 8)
    known = KnownHeads()
    for n in range(100):
        known.learn(200, b"HTTP/1.1 200 OK\r\nDate: %d\r\nContent-Length: 2\r\n\r\nok" % n, 2)
        assert len(known) <= 8
    assert not known


def test_heads_that_come_again_make_room_for_later_ones(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_heads, "_MOST", 8)
    known = KnownHeads()
    for n in range(100):
        answer = b"HTTP/1.1 200 OK\r\nDate: %d\r\nContent-Length: 2\r\n\r\nok" % n
        conversation(loop, [[answer]] * 10, known)
    assert 0 < len(known) <= 8
    assert known.hits >= 9 * len(known)
