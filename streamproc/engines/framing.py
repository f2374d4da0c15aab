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
from typing import NamedTuple, cast

from streamproc.codec.line import split
from streamproc.record import Batch, Cursor, Note

_HEADER = struct.Struct("<BI")
_WORK = struct.Struct("<QQQIHI")  # number, line, offset, part, lengths of file's name and headers
_RUN = struct.Struct("<QIII")  # number, first line, count, length of the notes
_BUFFER_BYTES = 512 * 1024
_UNSENT_BYTES = 2 << 20  # beyond it `on_full` hears that the other end does not keep up
_LEAST_BYTES = 64 * 1024  # free, for the next read
_JOINED, _PICKLED = b"j", b"p"
_SAME = 0xFFFFFFFF  # in place of that length: the lines go out as they came in


class Kind(IntEnum):
    """To a worker: SETUP to HOLD. From it: READY and what follows."""

    SETUP = 0
    WORK = 1
    WIND_DOWN = 2
    ABORT = 3
    END = 4
    HOLD = 5
    """Who waits, as there is no room for what comes of it."""
    READY = 10
    WANT = 11
    """It is nearly done with what it has."""
    RUN = 12
    SCATTERED = 13
    BEAT = 14
    EVENTS = 17
    """What observers want to hear, before the answers that came of it."""
    DONE = 15
    """It was wound down: what is open stays open."""
    FATAL = 16


class FrameProtocol(asyncio.BufferedProtocol):
    """One end. `on_frame` gets each frame, `on_lost` hears when the other end is gone.

    `on_full` hears that the other end does not keep up with what is sent, and that it does again.
    A frame's body is a view that is good until `on_frame` returns: lines are copied once.
    """

    def __init__(
        self,
        on_frame: Callable[[Kind, memoryview], None],
        on_lost: Callable[[], None],
        on_full: Callable[[bool], None] = lambda is_full: None,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_full = on_full
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._begin = self._end = 0  # of what is received and not handled
        self.received_bytes = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_UNSENT_BYTES)

    def pause_writing(self) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._on_full(True)

    def resume_writing(self) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._on_full(False)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._buffer[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._end += nbytes
        self.received_bytes += nbytes
        needed = _HEADER.size
        while self._end - self._begin >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer, self._begin)
            needed = _HEADER.size + length
            if self._end - self._begin < needed:
                break
            begin = self._begin + _HEADER.size
            self._begin += needed
            self._on_frame(Kind(kind), self._buffer[begin : self._begin])
            needed = _HEADER.size
        self._make_room(needed)

    def _make_room(self, needed: int) -> None:
        """For the rest of a frame of `needed` bytes, of which the beginning may be there."""
        if self._begin == self._end:
            self._begin = self._end = 0
            if len(self._buffer) > _BUFFER_BYTES and needed < _BUFFER_BYTES:
                self._buffer = memoryview(bytearray(_BUFFER_BYTES))  # large frames are rare
        left = self._end - self._begin
        if len(self._buffer) - self._begin >= max(needed, left + _LEAST_BYTES):
            return
        size = max(_BUFFER_BYTES, needed + _LEAST_BYTES)
        before, view = self._buffer, memoryview(bytearray(size))
        view[:left] = before[self._begin : self._end]
        self._buffer, self._begin, self._end = view, 0, left

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.transport = None
        self._on_lost()

    def send(self, kind: Kind, *parts: bytes) -> None:
        """Send a frame; it is lost if the other end is gone."""
        if self.transport is not None:
            length = sum(map(len, parts))
            self.transport.writelines((_HEADER.pack(kind, length), *parts))

    def abort(self) -> None:
        """Close at once: there is nobody at the other end, though it is not closed."""
        if self.transport is not None:
            self.transport.abort()


class WorkBatch(Batch):
    """Lines of a batch as a worker sees them: a batch with a number.

    `is_plain`: no line contains a newline, so that no result does, but those with a note.
    """

    __slots__ = ("is_plain", "number")

    def __init__(self, number: int, cursor: Cursor, lines: list[bytes]) -> None:
        super().__init__(0, cursor, lines, sum(map(len, lines)) + len(lines))
        self.number = number
        self.is_plain = True


def _pack_lines(lines: list[bytes], *, is_plain: bool) -> tuple[bytes, bytes]:
    joined = b"\n".join(lines)
    if is_plain or joined.count(b"\n") == len(lines) - 1:
        return _JOINED, joined
    return _PICKLED, pickle.dumps(lines)


def _unpack_lines(body: memoryview, at: int) -> list[bytes]:
    if body[at : at + 1] == _JOINED:
        return split(bytes(body[at + 1 :]))
    lines: list[bytes] = pickle.loads(body[at + 1 :])
    return lines


class WorkMessage(NamedTuple):
    """What of a message goes along with its line, as the message itself would say it."""

    pairs: list[tuple[str, bytes | None]] | None

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Its headers."""
        return self.pairs


def pack_work(
    number: int, batch: Batch, start: int, stop: int, *, with_headers: bool = False
) -> tuple[bytes, ...]:
    """The lines `start` to `stop` of `batch`. What they are called in messages goes along.

    `with_headers`: those of the messages that they came in, too.
    """
    file, line, offset, part = batch.cursor
    name, headers = file.encode("utf-8", "surrogateescape"), b""
    if with_headers and batch.messages is not None:
        given = batch.messages[start:stop]
        headers = pickle.dumps([None if each is None else each.headers() for each in given])
    head = _WORK.pack(number, line + start, offset, part, len(name), len(headers))
    lines = _pack_lines(batch.lines[start:stop], is_plain=batch.messages is None)
    return head, name, headers, *lines


def unpack_work(body: memoryview) -> WorkBatch:
    """The other way."""
    number, line, offset, part, length, of_headers = _WORK.unpack_from(body)
    end = _WORK.size + length
    begin = end + of_headers
    file = bytes(body[_WORK.size : end]).decode("utf-8", "surrogateescape")
    piece = WorkBatch(number, Cursor(file, line, offset, part), _unpack_lines(body, begin))
    piece.is_plain = body[begin : begin + 1] == _JOINED
    if of_headers:
        piece.messages = list(map(WorkMessage, pickle.loads(body[end:begin])))
    return piece


def pack_run(
    piece: WorkBatch, start: int, lines: list[bytes], notes: dict[int, Note]
) -> tuple[bytes, ...]:
    """What consecutive lines from `start` on turned into; `notes` by their index in `piece`."""
    count, is_plain = len(lines), piece.is_plain
    if not notes and lines == piece.lines[start : start + count]:
        return (_RUN.pack(piece.number, start, count, _SAME),)
    packed = pickle.dumps({i - start: note for i, note in notes.items()}) if notes else b""
    for i in notes:
        lines[i - start] = b""
    return (
        _RUN.pack(piece.number, start, count, len(packed)),
        packed,
        *_pack_lines(lines, is_plain=is_plain),
    )


Run = tuple[int, int, int, list[bytes] | None, dict[int, Note]]
"""Number, first line, count, lines (None: as they came in), notes by place in the run."""


def unpack_run(body: memoryview) -> Run:
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
    piece: WorkBatch, indices: Sequence[int], lines: list[bytes], notes: dict[int, Note]
) -> tuple[bytes, ...]:
    """What single lines turned into; `notes` by place among them."""
    packed = pickle.dumps(notes) if notes else b""
    for place in notes:
        lines[place] = b""
    is_plain = piece.is_plain
    head = _RUN.pack(piece.number, 0, len(indices), len(packed))
    return head, array("I", indices).tobytes(), packed, *_pack_lines(lines, is_plain=is_plain)


def unpack_scattered(
    body: memoryview,
) -> tuple[int, array[int], list[bytes], dict[int, Note]]:
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
