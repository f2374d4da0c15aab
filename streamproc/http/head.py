"""The headers of an answer, parsed when somebody asks for them: most answers are only a body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import httptools
from msgspec import Struct

from streamproc.http.contract import MAX_HEADER_BYTES, Headers, too_large

BODILESS = (204, 304)  # an answer with one of these has no body, whatever its headers say
_FRAMING = (b"content-length", b"transfer-encoding")


class Head(Struct, frozen=True, gc=False):
    """Headers as they came, in their order, trailers and interim answers (1xx) apart.

    `data` is what a parser accepted: an answer at least as far as its headers go. The same
    parser reads it again, so that there are no two opinions on what they are.
    """

    data: bytes

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(_Collector(self.data).headers)

    def may_have(self, name: bytes) -> bool:
        """False if there is no header `name` (lower case)."""
        return self.data.lower().find(name) >= 0

    def listed(self, name: bytes) -> str:
        """All values of the header `name` (lower case) as one list."""
        return b",".join(value for key, value in self if key.lower() == name).decode("latin-1")


def announces_body(headers: Headers) -> bool:
    """Whether they say where a body ends that is not empty; without that its connection ends it."""
    return any(name.lower() in _FRAMING and value != b"0" for name, value in headers)


def check_size(headers: Headers) -> None:
    """Raises `CallError` for headers that are too many, as both clients count them."""
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
        raise too_large("header", MAX_HEADER_BYTES)


class _Collector:
    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self._is_complete = False
        self._parser = httptools.HttpResponseParser(self)
        with suppress(httptools.HttpParserError):  # of what follows the headers
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        if not self._is_complete:
            self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_complete:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        # an interim answer that follows a whole one is none of it
        self._is_complete = self._is_complete or self._parser.get_status_code() >= 200
