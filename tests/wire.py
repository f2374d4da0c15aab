"""The lean client's connection without a network: what it makes of bytes that come in."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

import brotli
import zstandard

from streamproc.http.connection import Connection
from streamproc.http.contract import Request, Response, Target
from streamproc.http.known_heads import KnownHeads

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": lambda data: zlib.compress(data, 1),
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
}


class Wire:
    """A transport, and who has the connection."""

    def write(self, data: bytes) -> None:
        """Sent."""

    def abort(self) -> None:
        """Closed."""

    def get_write_buffer_size(self) -> int:
        return 0

    def freed(self, connection: Connection) -> None:
        """Kept."""

    def lost(self, connection: Connection) -> None:
        """Gone."""


async def answer_to(data: bytes, piece_bytes: int, max_body_bytes: int) -> Response:
    """The answer that comes in such pieces, before the connection ends. Raises `CallError`."""
    wire = Wire()
    connection = Connection(wire, max_body_bytes, KnownHeads())
    connection.connection_made(wire)  # type: ignore[arg-type]  # all that is used of one
    answer = asyncio.get_running_loop().create_future()
    connection.ask(Request(Target("https", "a.example", 443), b"GET", b"/"), b"", answer)
    for start in range(0, len(data), piece_bytes):
        if answer.done():
            break
        connection.data_received(data[start : start + piece_bytes])
    connection.connection_lost(None)
    assert answer.done(), "it is waited for"
    response: Response = answer.result()
    sum(len(value) for _, value in response.headers)
    return response
