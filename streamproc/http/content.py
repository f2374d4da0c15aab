"""Content-Encoding, undone, never beyond a limit.

What a decoder may produce is bounded while it decodes: a bomb costs a failed record.
`brotli` and `zstandard` are optional; they are imported when an answer needs them.
"""

from __future__ import annotations

import zlib
from functools import cache

from streamproc.http.contract import bad_answer, too_large

_MAX_ENCODINGS = 5  # as in curl
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_WINDOW_BYTES = 8 << 20  # RFC 9659: no more is sent over HTTP
_PIECE_BYTES = 256 << 10


@cache
def accepted_encodings() -> bytes:
    """What can be decoded here, for the Accept-Encoding header."""
    from importlib.util import find_spec

    names = ["gzip", "deflate"]
    if find_spec("brotli"):
        import brotli  # type: ignore[import-untyped]

        if _parts(brotli.__version__) >= (1, 2):  # earlier ones have no limit
            names.append("br")
    if find_spec("zstandard"):
        names.append("zstd")
    return ", ".join(names).encode()


def inflate(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """`body` without its `encodings`, a list as in the header, undone from its end.

    Raises `CallError`: what is broken or unknown is a bad answer; more than `max_bytes` are
    never produced. What follows a whole gzip or deflate stream is ignored, as in browsers.
    """
    names = [name.strip().lower() for name in encodings.split(",")]
    wanted = [name for name in names if name not in ("", "identity")]
    if len(wanted) > _MAX_ENCODINGS:
        raise bad_answer(f"its body is encoded {len(wanted)} times")
    for name in reversed(wanted):
        if body:  # an empty body is not encoded, whatever its header says
            body = _decoded(body, name, max_bytes)
    return body


def _decoded(body: bytes, name: str, max_bytes: int) -> bytes:
    if name in ("gzip", "x-gzip"):
        return _gunzip(body, name, max_bytes)
    if name == "deflate":
        is_wrapped = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
        wbits = zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS
        return _unzip(body, name, wbits, max_bytes)[0]
    if name == "br" and b"br" in accepted_encodings():
        return _brotli(body, max_bytes)
    if name == "zstd" and b"zstd" in accepted_encodings():
        return _zstd(body, max_bytes)
    known = accepted_encodings().decode()
    raise bad_answer(f"its body is encoded as {name[:50]!r}; what can be decoded here: {known}")


def _gunzip(body: bytes, name: str, max_bytes: int) -> bytes:
    """One member after another; mostly there is only one."""
    members = []
    left = max_bytes
    while True:
        member, body = _unzip(body, name, 16 + zlib.MAX_WBITS, left, max_bytes)
        members.append(member)
        left -= len(member)
        if not body.startswith(_GZIP_MAGIC):
            return member if len(members) == 1 else b"".join(members)


def _unzip(
    body: bytes, name: str, wbits: int, left: int, max_bytes: int | None = None
) -> tuple[bytes, bytes]:
    """What a stream contains, `left` bytes at most, and what follows it."""
    decoder = zlib.decompressobj(wbits)
    try:
        data = decoder.decompress(body, left + 1)
    except zlib.error as error:
        raise _broken(name, error) from error
    if len(data) > left:
        raise too_large("body", left if max_bytes is None else max_bytes)
    if not decoder.eof:
        raise _broken(name, "it ends too early")
    return data, decoder.unused_data


def _brotli(body: bytes, max_bytes: int) -> bytes:
    import brotli

    decoder = brotli.Decompressor()
    pieces = []
    left = max_bytes
    try:
        while not decoder.is_finished():
            piece = decoder.process(body, output_buffer_limit=min(left + 1, _PIECE_BYTES))
            if not piece and decoder.can_accept_more_data():
                break
            body = b""
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise too_large("body", max_bytes)
    except brotli.error as error:
        raise _broken("br", error) from error
    if not decoder.is_finished():
        raise _broken("br", "it ends too early")
    return b"".join(pieces)


def _zstd(body: bytes, max_bytes: int) -> bytes:
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
        frames = []
        while body:
            frame = decoder.decompressobj()
            frames.append(frame.decompress(body))
            if not frame.eof:
                raise _broken("zstd", "it ends too early")
            body = frame.unused_data
    except zstandard.ZstdError as error:
        raise _broken("zstd", error) from error
    return b"".join(frames)


def _broken(name: str, reason: object) -> Exception:
    return bad_answer(f"its body is no good as {name}: {reason}")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
