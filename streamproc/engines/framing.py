"""What the parent and its workers say to each other: frames over a socket pair.

A frame is a kind, a length and a body. Lines travel joined by newlines; those that contain
some (messages may) or turn into several are pickled.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from array import array
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import cast

from streamproc.record import Batch, Cursor, Note

_HEADER = struct.Struct("<BI")
_WORK = struct.Struct("<QQQIH")  # number, line, offset, part, length of the file's name
_RUN = struct.Struct("<QIII")  # number, first line, count, length of the notes
_JOINED, _PICKLED = b"j", b"p"
_SAME = 0xFFFFFFFF  # in place of that length: the lines go out as they came in


class Kind(IntEnum):
    """To a worker: SETUP to END. From it: READY and what follows."""

    SETUP = 0
    WORK = 1
    WIND_DOWN = 2
    ABORT = 3
    END = 4
    READY = 10
    WANT = 11
    """It is nearly done with what it has."""
    RUN = 12
    SCATTERED = 13
    BEAT = 14
    DONE = 15
    """It was wound down: what is open stays open."""
    FATAL = 16


class Wire(asyncio.Protocol):
    """One end. `on_frame` gets each frame, `on_lost` hears when the other end is gone."""

    def __init__(
        self, on_frame: Callable[[Kind, bytes], None], on_lost: Callable[[], None]
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER.size:
            kind, length = _HEADER.unpack_from(buffer, at)
            begin = at + _HEADER.size
            if len(buffer) < begin + length:
                break
            at = begin + length
            self._on_frame(Kind(kind), bytes(memoryview(buffer)[begin:at]))
        if at:
            del buffer[:at]

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.transport = None
        self._on_lost()

    def send(self, kind: Kind, *parts: bytes) -> None:
        """Send a frame; it is lost if the other end is gone."""
        if self.transport is not None:
            length = sum(map(len, parts))
            self.transport.write(b"".join((_HEADER.pack(kind, length), *parts)))

    def close(self) -> None:
        """Send what is waiting, then close."""
        if self.transport is not None:
            self.transport.close()


class Piece(Batch):
    """Lines of a batch as a worker sees them: a batch with a number."""

    __slots__ = ("number",)

    def __init__(self, number: int, cursor: Cursor, lines: list[bytes]) -> None:
        super().__init__(0, cursor, lines, sum(map(len, lines)) + len(lines))
        self.number = number


def _pack_lines(lines: list[bytes]) -> tuple[bytes, bytes]:
    joined = b"\n".join(lines)
    if joined.count(b"\n") == len(lines) - 1:
        return _JOINED, joined
    return _PICKLED, pickle.dumps(lines)


def _unpack_lines(body: bytes, at: int) -> list[bytes]:
    if body[at : at + 1] == _JOINED:
        return body[at + 1 :].split(b"\n")
    lines: list[bytes] = pickle.loads(memoryview(body)[at + 1 :])
    return lines


def pack_work(number: int, batch: Batch, start: int, stop: int) -> tuple[bytes, ...]:
    """The lines `start` to `stop` of `batch`. What they are called in messages goes along."""
    file, line, offset, part = batch.cursor
    name = file.encode("utf-8", "surrogateescape")
    head = _WORK.pack(number, line + start, offset, part, len(name))
    return head, name, *_pack_lines(batch.lines[start:stop])


def unpack_work(body: bytes) -> Piece:
    """The other way."""
    number, line, offset, part, length = _WORK.unpack_from(body)
    begin = _WORK.size + length
    file = body[_WORK.size : begin].decode("utf-8", "surrogateescape")
    return Piece(number, Cursor(file, line, offset, part), _unpack_lines(body, begin))


def pack_run(
    piece: Piece, start: int, lines: list[bytes], notes: dict[int, Note]
) -> tuple[bytes, ...]:
    """What consecutive lines from `start` on turned into; `notes` by their index in `piece`."""
    count = len(lines)
    if not notes and lines == piece.lines[start : start + count]:
        return (_RUN.pack(piece.number, start, count, _SAME),)
    packed = pickle.dumps({i - start: note for i, note in notes.items()}) if notes else b""
    for i in notes:
        lines[i - start] = b""
    return _RUN.pack(piece.number, start, count, len(packed)), packed, *_pack_lines(lines)


Run = tuple[int, int, int, list[bytes] | None, dict[int, Note]]
"""Number, first line, count, lines (None: as they came in), notes by place in the run."""


def unpack_run(body: bytes) -> Run:
    """The other way."""
    number, start, count, length = _RUN.unpack_from(body)
    if length == _SAME:
        return number, start, count, None, {}
    begin = _RUN.size + length
    notes = pickle.loads(body[_RUN.size : begin]) if length else {}
    lines = _unpack_lines(body, begin)
    for i, note in notes.items():
        lines[i] = note.line
    return number, start, count, lines, notes


def pack_scattered(
    number: int, indices: Sequence[int], lines: list[bytes], notes: dict[int, Note]
) -> tuple[bytes, ...]:
    """What single lines turned into; `notes` by place among them."""
    packed = pickle.dumps(notes) if notes else b""
    for place in notes:
        lines[place] = b""
    head = _RUN.pack(number, 0, len(indices), len(packed))
    return head, array("I", indices).tobytes(), packed, *_pack_lines(lines)


def unpack_scattered(body: bytes) -> tuple[int, array[int], list[bytes], dict[int, Note]]:
    """The other way."""
    number, _, count, length = _RUN.unpack_from(body)
    indices = array("I")
    begin = _RUN.size + count * indices.itemsize
    indices.frombytes(body[_RUN.size : begin])
    notes = pickle.loads(body[begin : begin + length]) if length else {}
    lines = _unpack_lines(body, begin + length)
    for place, note in notes.items():
        lines[place] = note.line
    return number, indices, lines, notes
