"""What `fuzz.py` does to the HTTP client: URLs of records, and answers of services.

A line is a value of a record, a header or a body, as a target says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from hostile import Line, Material
from wire import PACK, answer_to

from streamproc.errors import CallError, RecordError
from streamproc.http.content import inflate_aside
from streamproc.http.contract import Request, Response, Target
from streamproc.http.redirects import next_request
from streamproc.http.retry_after import retry_after_s
from streamproc.http.template import Template
from streamproc.http.url import Url

MAX_BODY_BYTES = 1 << 20
MAX_VALUE_BYTES = 60_000  # of a header: more is refused before anybody reads it
MAX_PIECES = 4096  # in which an answer comes
SMALL_BYTES = 8 << 10  # what is right is seen in such a line, in no time

EMPTY = {name: pack(b"") for name, pack in PACK.items()}
IN_PATH = Url(Template.parse("https://a.example/{v}"), {})
IN_PATH_WITH_DOTS = Url(Template.parse("https://a.example/.{v}"), {})
IN_HOST = [Url(Template.parse(each), {}, ("*",)) for each in ("{v}", "https://a.{v}")]
FILLED = Template.parse("a{v}{{b}}{ v }{w.v}")
DELAYS = (
    b"retry-after", b"retry-after-ms", b"x-ratelimit-reset", b"ratelimit-reset", b"ratelimit",
    b"x-ratelimit-reset-after", b"x-ratelimit-reset-requests", b"x-ratelimit-remaining-requests",
)  # fmt: skip
PLACE = Target("https", "a.example", 443)
SECRET = b"X-Key: secret\r\n"
PATH = re.compile(r"/[!-~]*").fullmatch
HOST = re.compile(r"[a-z0-9_][a-z0-9_.-]*|[0-9a-f:.]+(?:%[A-Za-z0-9._~-]+)?").fullmatch
DOTS = frozenset((".", ".."))


def parsed(line: bytes) -> None:
    """A template that somebody has written so, of which records have one field.

    It stands in a pipeline file, so nothing is promised of its time but how that grows.
    """
    with suppress(ValueError):
        Template.parse(line[: len(line) // 4].decode(errors="replace")).fill({"v": 1})


def filled(line: bytes) -> None:
    for value in _values(line):
        with suppress(RecordError):
            FILLED.fill({"v": value, "w": {"v": value}})


def in_path(url: Url, line: bytes) -> None:
    """A value stays in its segment, whatever a server makes of its slashes."""
    for value in _values(line):
        with suppress(RecordError):
            _, path = url.render({"v": value})
            if len(line) > SMALL_BYTES:
                continue
            assert PATH(path)
            assert path.count("/") == 1
            assert "?" not in path
            assert isinstance(value, int) or unquote(path).endswith(value)
            assert ".." not in re.split(r"[/\\]", unquote(path, errors="replace"))


def in_host(line: bytes) -> None:
    """A value names a host, and only that."""
    for value in _values(line):
        for url, begin in zip(IN_HOST, ("", "a."), strict=True):
            with suppress(RecordError, UnicodeEncodeError):  # a lone surrogate: callers know
                target, path = url.render({"v": value})
                if len(line) > SMALL_BYTES:
                    continue
                assert target.is_from_record
                assert (target.scheme, target.port) == ("https", 443)
                assert HOST(target.host)
                assert target.host.startswith(begin)
                assert PATH(path)
                assert not DOTS.intersection(path.partition("?")[0].split("/"))


def _values(line: bytes) -> tuple[str, int]:
    """A text, and an integer as long: its digits are no JSON that somebody would decode."""
    return line.decode(errors="surrogateescape"), int.from_bytes(line, signed=True)


def redirect(line: bytes) -> None:
    response = Response(302, [(b"location", line[:MAX_VALUE_BYTES])], b"")
    for path in (b"/", b"/" + b"x/" * 30_000):
        for method, body in ((b"GET", b""), (b"PUT", SECRET)):
            with suppress(CallError):
                request = next_request(Request(PLACE, method, path, SECRET, body), response)
                if request is not None and request.target != PLACE:
                    assert request.target.scheme == "https"
                    assert HOST(request.target.host)
                    assert SECRET not in request.headers + request.body


def delay(line: bytes) -> None:
    """When a service that says `line` in some header is to be asked again."""
    value = line[:MAX_VALUE_BYTES]
    for name in DELAYS:
        for date in (b"Tue, 01 Dec 2026 00:00:00 GMT", value):
            delay_s = retry_after_s(Response(429, [(b"date", date), (name, value)], b""), 1.8e9)
            assert delay_s is None or delay_s >= 0


def inflated(body: bytes, encodings: str) -> None:
    """Any number of streams: those that are too many for the loop, too."""
    try:
        inflated = asyncio.run(inflate_aside(body, encodings, MAX_BODY_BYTES))
    except CallError:
        return
    assert len(inflated) <= MAX_BODY_BYTES


def answer_at_once(line: bytes) -> None:
    at_once = answered(line, max(1, len(line)))
    if len(line) <= SMALL_BYTES:
        assert answered(line, 1) == at_once, "pieces of a byte make another answer of it"


def answer_in_pieces(line: bytes) -> None:
    answered(line, max(7, len(line) // MAX_PIECES))


def answered(line: bytes, piece_bytes: int) -> tuple[int, bytes, list[Any]] | None:
    """Status, body and headers of what comes in such pieces, before the connection ends.

    None if it is no answer.
    """
    try:
        response = asyncio.run(answer_to(line, piece_bytes, MAX_BODY_BYTES))
    except CallError:
        return None
    return response.status, response.body, list(response.headers)


HTTP_TARGETS: dict[str, Callable[[bytes], Any]] = {
    "template": parsed,
    "filled": filled,
    "path": lambda line: in_path(IN_PATH, line),
    "path with dots": lambda line: in_path(IN_PATH_WITH_DOTS, line),
    "host": in_host,
    "redirect": redirect,
    "delay": delay,
    "gzip": lambda body: inflated(body, "gzip"),
    "deflate": lambda body: inflated(body, "deflate"),
    "br": lambda body: inflated(body, "br"),
    "zstd": lambda body: inflated(body, "zstd"),
    "gzip in gzip": lambda body: inflated(PACK["gzip"](body), "gzip, gzip"),
    "zstd in br": lambda body: inflated(PACK["br"](body), "zstd, br"),
    "answer at once": answer_at_once,
    "answer in pieces": answer_in_pieces,
}

_TEXT = Material(
    (b"", b"http://", b"https://a.example/", b"https://a@", b"https://[", b"0.", b"//",
     b"http://b.example/", b"https://b.example:8443/", b"//b.example/"),
    (b"/", b"..", b".", b"\\", b"%", b"%2e", b"@", b":", b"[", b"]", b"?", b"#", b"&", b"=", b" ",
     b"\0", b"a", b"0", b"-", b"a.", b"{", b"}", b"{v}", b"${V}", b"\xc3\xa9", b"\xe3\x80\x82",
     b"xn--", b"\xc2\xad", b";", b",", b"\xff", b"7" * 600, b"/../", b"\\..\\"),
    (b"", b"/", b"}", b"]"),
)  # fmt: skip
_DELAY = Material(
    (b"", b"Tue, ", b"Mon, 30 Nov 2026 00:00:00 GMT", b"1 Jan 9", b"limit=1, ", b'"a";', b"0.",
     b"1"),
    (b"1", b"1h", b"1ms", b".", b",", b";", b"r=0", b"t=1", b"reset", b'"', b" ", b"(", b")", b"\t",
     b"Mon, ", b"Jan ", b":", b"-", b"+", b"GMT", b"\xff", b"\\", b"=", b"a", b"9" * 600),
    (b"", b"s", b" GMT", b"=1"),
)  # fmt: skip
_PACKED = [pack(data) for pack in PACK.values() for data in (b"a", bytes(9999))]
_BOMBS = [pack(bytes(2 * MAX_BODY_BYTES)) for pack in PACK.values()]
_BODY = Material(
    (b"", b"\x1f\x8b\x08", b"\x78\x01", b"\x28\xb5\x2f\xfd", *EMPTY.values(), *_PACKED, *_BOMBS),
    (b"\0", b"\xff", b"\x1f\x8b\x08", b"\x01\0\0\xff\xff", b"\0\0\0\xff\xff", b"\x50\x2a\x4d\x18",
     b"\x78\x01", b"a", b"\0\x01", *EMPTY.values(), *_PACKED),
    (b"", b"\0", *EMPTY.values()),
)  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_ANSWER = Material(
    (OK, OK + CHUNKED, OK + b"Content-Length: 99999\r\n\r\n", OK + b"\r\n",
     OK + b"Content-Encoding: gzip\r\n", OK + b"Content-Encoding: zstd\r\n" + CHUNKED[:-2],
     b"HTTP/1.1 100 \r\n\r\n" + OK, OK + b"Content-Length: 1\r\n\r\nx" + OK),
    (b"X: y\r\n", b"x:\r\n", b"\r\n", OK, b"HTTP/1.1 100 \r\n\r\n",
     b"HTTP/1.1 103 \r\nLink: x\r\n\r\n", CHUNKED,
     b"Transfer-Encoding: ,", b"Content-Encoding: gzip\r\n", b"gzip,", b"Content-Length: 0\r\n\r\n",
     b"Content-Length: 5\r\n", b"Connection: close\r\n", b"Connection: x,", b"2\r\nxy\r\n",
     b"1;e\r\nx\r\n", b"1;" + b"e" * 16 + b"\r\n", b"0\r\n", b"f", b"0", b" ", b"\n", b"\r", b"\0",
     b":", b"\xff", b"14\r\n" + EMPTY["gzip"] + b"\r\n", EMPTY["gzip"]),
    (b"", b"\r\n", b"0\r\n\r\n", b"\r\n\r\n"),
)  # fmt: skip
HTTP_MATERIAL = {
    "delay": _DELAY,
    **dict.fromkeys(("template", "filled", "path", "path with dots", "host", "redirect"), _TEXT),
    **dict.fromkeys(("answer at once", "answer in pieces"), _ANSWER),
    **dict.fromkeys((*PACK, "gzip in gzip", "zstd in br"), _BODY),
}

HTTP_FOUND: list[tuple[str, Line]] = [
    ("filled", Line(b"\x01", b"\0", b"")),
    ("path", Line(b"\x01", b"\0", b"")),
    ("path with dots", Line(b"", b"a%", b"")),
    ("host", Line(b"https://", b"\xc3\xa9.", b"")),
    ("gzip", Line(b"", EMPTY["gzip"], b"")),
    ("gzip in gzip", Line(b"", EMPTY["gzip"], b"")),
    ("zstd", Line(b"", EMPTY["zstd"], b"")),
    ("zstd in br", Line(b"", EMPTY["zstd"], b"")),
    ("answer in pieces", Line(OK + CHUNKED, b"2\r\nxy\r\n", b"0\r\n\r\n")),
    ("answer at once", Line(OK + CHUNKED, b"1;e\r\nx\r\n", b"0\r\n\r\n")),
    ("answer at once", Line(OK, b"x:\r\n", b"\r\n")),
    ("answer in pieces", Line(OK + b"\r\n", b"HTTP/1.1 100 \r\n\r\n", b"")),
    ("answer at once", Line(OK + b"Content-Length: 0\r\n\r\n", b"HTTP/1.1 100 \r\n\r\n", b"")),
    ("answer in pieces", Line(b"", b"HTTP/1.1 100 \r\n\r\n", OK + b"\r\n")),
]
