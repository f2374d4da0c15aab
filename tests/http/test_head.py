"""Headers that are parsed when somebody asks are those that came with the answer."""

from __future__ import annotations

import pytest

from streamproc.http.head import Head

LINES = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-ENCODING: gzip\r\n"
HEADERS = [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-ENCODING", b"gzip")]
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
BODY = b"Content-Length: 2\r\n\r\n{}"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: no\r\n\r\n"


@pytest.mark.parametrize("before", [b"", HINT, HINT * 2])
@pytest.mark.parametrize(
    ("after", "more"),
    [
        (b"\r\n", []),
        (BODY, [(b"Content-Length", b"2")]),
        (BODY + b"HTTP/1.1 200 OK\r\nX-B: 3\r\n\r\n", [(b"Content-Length", b"2")]),
        (BODY + b"nonsense", [(b"Content-Length", b"2")]),
        (CHUNKED, [(b"Transfer-Encoding", b"chunked")]),
    ],
)
def test_only_its_own_headers(before: bytes, after: bytes, more: list[tuple[bytes, bytes]]) -> None:
    """No interim answer's, no trailers, nothing that follows."""
    head = Head(before + LINES + after)
    assert list(head) == HEADERS + more
    assert list(head) == HEADERS + more  # a second time, too


def test_what_may_be_there() -> None:
    assert Head(LINES + b"\r\n").may_have(b"content-encoding")
    assert not Head(LINES + b"\r\n").may_have(b"retry-after")
