"""Content-Encoding, undone, never beyond a limit.

What a decoder may produce is bounded while it decodes: a bomb costs a failed record. So is what
it is given at once: a decoder hands back what follows a stream as a copy, and a body may have
one stream (member, frame) after the other, each of a few bytes.
`brotli` and `zstandard` are optional; they are imported when an answer needs them.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

from streamproc.http.contract import bad_answer, too_large
from streamproc.interfaces import Share

_MAX_ENCODINGS = 5  # as in curl
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_WINDOW_BYTES = 8 << 20  # RFC 9659: no more is sent over HTTP
_PIECE_BYTES = 256 << 10  # produced, and taken in, at once
_FIRST_BYTES = 512  # taken in of a stream that may be short; twice as many each time
_MANY = 1000  # streams in a body: 3 ms of work, as much as the loop can do without for one answer


@cache
def accepted_encodings() -> bytes:
    """What can be decoded here, for the Accept-Encoding header."""
    from importlib.util import find_spec

    names = ["gzip", "deflate"]
    if find_spec("brotli"):
        import brotli  # type: ignore[import-untyped]  # optional, and has no stubs

        if _parts(brotli.__version__) >= (1, 2):  # earlier ones have no limit
            names.append("br")
    if find_spec("zstandard"):
        names.append("zstd")
    return ", ".join(names).encode()


class ManyStreamsError(Exception):
    """A body has so many streams that the loop should not wait for them."""


def inflate(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """`body` without its `encodings`, a list as in the header, undone from its end.

    Raises `CallError`: what is broken or unknown is a bad answer; more than `max_bytes` are
    never produced. What follows a whole gzip or deflate stream is ignored, as in browsers.
    Takes time linear in what goes in and what comes out, but more per byte where it has many
    streams: see `inflate_aside`. Raises `ManyStreamsError` then.
    """
    return _inflated(body, encodings, max_bytes, _refuse_many)


async def inflate_within(body: bytes, encodings: str, max_bytes: int, share: Share | None) -> bytes:
    """As `inflate`, any number of streams, when the record of `share` may hold what comes out."""
    if share is None:
        return await _inflate_any(body, encodings, max_bytes)
    await share.reserve(max_bytes)  # until it is known
    inflated = b""
    try:
        inflated = await _inflate_any(body, encodings, max_bytes)
    finally:
        share.let_go(max_bytes - len(inflated))
    return inflated


async def _inflate_any(body: bytes, encodings: str, max_bytes: int) -> bytes:
    try:
        return inflate(body, encodings, max_bytes)
    except ManyStreamsError:
        return await inflate_aside(body, encodings, max_bytes)


async def inflate_aside(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """As `inflate`, any number of streams, in a thread. It ends early if this is cancelled."""
    is_given_up = False

    def check(streams: int) -> None:
        if is_given_up:
            raise ManyStreamsError

    job = partial(_inflated, body, encodings, max_bytes, check)
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads(), job)
    finally:
        is_given_up = True


@cache
def _threads() -> ThreadPoolExecutor:
    """Few: they share the interpreter with the loop. Not the ones that look up names."""
    return ThreadPoolExecutor(2, "inflate")


def _refuse_many(streams: int) -> None:
    raise ManyStreamsError


Check = Callable[[int], None]
"""Called after each `_MANY` streams with their number; may raise."""


def _inflated(body: bytes, encodings: str, max_bytes: int, check: Check) -> bytes:
    names = [name.strip().lower() for name in encodings.split(",", 2 * _MAX_ENCODINGS)]
    wanted = [name for name in names if name not in ("", "identity")]
    if len(wanted) > _MAX_ENCODINGS:
        raise bad_answer(f"its body is encoded more than {_MAX_ENCODINGS} times")
    for name in reversed(wanted):
        if body:  # an empty body is not encoded, whatever its header says
            body = _decoded(body, name, max_bytes, check)
    return body


def _decoded(body: bytes, name: str, max_bytes: int, check: Check) -> bytes:
    if name in ("gzip", "x-gzip"):
        return _unzip(body, name, 16 + zlib.MAX_WBITS, max_bytes, check)
    if name == "deflate":
        is_wrapped = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
        return _unzip(body, name, zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS, max_bytes)
    if name == "br" and b"br" in accepted_encodings():
        return _brotli(body, max_bytes)
    if name == "zstd" and b"zstd" in accepted_encodings():
        return _zstd(body, max_bytes, check)
    known = accepted_encodings().decode()
    raise bad_answer(f"its body is encoded as {name[:50]!r}; what can be decoded here: {known}")


def _pieces(body: bytes, at: int) -> Iterator[memoryview]:
    """`body` from `at` on: a little first, for a stream that ends soon, then more and more."""
    view, size = memoryview(body), _FIRST_BYTES
    while at < len(body):
        yield view[at : at + size]
        at += size
        size = min(2 * size, _PIECE_BYTES)


class _Produced:
    """What came out so far, in one piece, and its limit."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data = b""
        self._more: bytearray | None = None

    def add(self, data: bytes) -> None:
        """Raises `CallError` beyond the limit."""
        if not data:
            return
        if not self._data:
            self._data = data
        elif self._more is None:
            self._more = bytearray(data)
        else:
            self._more += data
        if self.room < 0:
            raise too_large("body", self._max_bytes)

    @property
    def room(self) -> int:
        """How much more there may be."""
        return self._max_bytes - len(self._data) - len(self._more or b"")

    @property
    def whole(self) -> bytes:
        """All of it."""
        return self._data if self._more is None else self._data + self._more


def _unzip(body: bytes, name: str, wbits: int, max_bytes: int, check: Check | None = None) -> bytes:
    """One stream; with `check` also the gzip members that follow it."""
    out = _Produced(max_bytes)
    at = streams = 0
    while True:
        decoder = zlib.decompressobj(wbits)
        try:
            at = _unzip_one(body, at, decoder, out)
        except zlib.error as error:
            raise _broken(name, error) from error
        if not decoder.eof:
            raise _broken(name, "it ends too early")
        if check is None or not body.startswith(_GZIP_MAGIC, at):
            return out.whole
        streams += 1
        if streams % _MANY == 0:
            check(streams)


def _unzip_one(body: bytes, at: int, decoder: zlib._Decompress, out: _Produced) -> int:
    """Where the stream that begins `at` ends."""
    for piece in _pieces(body, at):
        at += len(piece)
        data: Any = piece
        while data and not decoder.eof:  # at its end the tail may stay what it was
            out.add(decoder.decompress(data, min(out.room + 1, _PIECE_BYTES)))
            data = decoder.unconsumed_tail
        if decoder.eof:
            return at - len(decoder.unused_data)
    # what it still keeps back: its last bytes are in, and it had no room for what they mean
    while not decoder.eof and (rest := decoder.decompress(b"", min(out.room + 1, _PIECE_BYTES))):
        out.add(rest)
    return at


def _brotli(body: bytes, max_bytes: int) -> bytes:
    import brotli

    decoder = brotli.Decompressor()
    out = _Produced(max_bytes)
    try:
        for piece in _pieces(body, 0):
            data = bytes(piece)
            made = b"?"
            while not decoder.is_finished() and (made or not decoder.can_accept_more_data()):
                made = decoder.process(data, output_buffer_limit=min(out.room + 1, _PIECE_BYTES))
                data = b""
                out.add(made)
            if decoder.is_finished():
                return out.whole
    except brotli.error as error:
        raise _broken("br", error) from error
    raise _broken("br", "it ends too early")


def _zstd(body: bytes, max_bytes: int, check: Check) -> bytes:
    """Measured first: no call of this library has a limit and tells a cut stream from a whole."""
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    try:
        size = 0
        with decoder.stream_reader(body, read_across_frames=True) as reader:
            while piece := reader.read(_PIECE_BYTES):
                size += len(piece)
                if size > max_bytes:
                    raise too_large("body", max_bytes)
        out = _Produced(max_bytes)
        at = streams = 0
        while at < len(body):
            frame = decoder.decompressobj()
            for view in _pieces(body, at):
                at += len(view)
                out.add(frame.decompress(view))
                if frame.eof:
                    break
            if not frame.eof:
                raise _broken("zstd", "it ends too early")
            at -= len(frame.unused_data)
            streams += 1
            if streams % _MANY == 0:
                check(streams)
    except zstandard.ZstdError as error:
        raise _broken("zstd", error) from error
    return out.whole


def _broken(name: str, reason: object) -> Exception:
    return bad_answer(f"its body is no good as {name}: {reason}")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
