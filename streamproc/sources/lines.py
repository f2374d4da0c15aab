r"""Chunks of bytes → batches of whole lines.

Only `\n` ends a line. A line that is longer than the limit is not kept but measured and
hashed, so that memory stays bounded however long it gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamproc.codec.line import split
from streamproc.record import BOM, Batch, Cursor, Failed
from streamproc.sources.stdin import CHUNK_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash


class LineCutter:
    """Cuts the chunks of one file. `feed` returns what is complete, `finish` the rest."""

    chunk_bytes = CHUNK_BYTES

    def __init__(
        self,
        file: str,
        max_line_bytes: int,
        lane: int = 0,
        *,
        part: int = 0,
        line: int = 1,
        offset: int = 0,
    ) -> None:
        self._file = file
        self._max_bytes = max_line_bytes
        self._lane = lane
        self._part = part
        self.line = line  # the next that is to be cut off, and where it begins
        self.offset = offset
        self._tail = bytearray()  # the line that is not complete yet
        self._oversized: _Hash | None = None
        self._length = 0  # of the oversized line
        self._start = offset == 0  # a byte order mark may follow

    def feed(self, chunk: bytes) -> list[tuple[Batch, Failed | None]]:
        """Batches, in order, of the lines that `chunk` completes."""
        if self._start:
            chunk = self._without_bom(chunk)
        lines = split(chunk)
        rest = lines.pop()
        n_bytes = len(chunk) - len(rest)
        out: list[tuple[Batch, Failed | None]] = []
        if lines and (self._oversized is not None or self._tail):
            first = lines[0]
            self._keep(first)
            if self._oversized is not None:
                out.append(self._end_oversized(newline=1))
                n_bytes -= len(first) + 1
                del lines[0]
            else:
                lines[0] = bytes(self._tail)
                n_bytes += len(lines[0]) - len(first)
                self._tail = bytearray()
        if lines:
            out += self._batches(lines, n_bytes)
        self._keep(rest)
        return out

    @property
    def has_tail(self) -> bool:
        """Whether there are bytes after the last newline."""
        return bool(self._tail) or self._oversized is not None

    def finish(self) -> list[tuple[Batch, Failed | None]]:
        """At the end of input: a last line without its newline."""
        if self._oversized is not None:
            return [self._end_oversized(newline=0)]
        if not self._tail:
            return []
        line = bytes(self._tail)
        self._tail = bytearray()
        return self._batches([line], len(line))

    def residue(self) -> tuple[Batch, Failed] | None:
        """Bytes after the last newline, when there will be no end of input."""
        if self._oversized is not None:
            return None
        if not self._tail:
            return None
        cursor = Cursor(self._file, self.line, self.offset, self._part)
        batch = Batch(self._lane, cursor, [bytes(self._tail)], len(self._tail))
        return batch, Failed("decode", "shutdown", "no newline yet when reading stopped", 0)

    def _without_bom(self, chunk: bytes) -> bytes:
        head = bytes(self._tail) + chunk
        if len(head) < len(BOM) and BOM.startswith(head) and b"\n" not in chunk:
            return chunk  # too short to tell; looked at again with the next chunk
        self._start = False
        if head.startswith(BOM):
            self._tail = bytearray()
            self.offset = len(BOM)
            return head[len(BOM) :]
        return chunk

    def _keep(self, piece: bytes) -> None:
        if self._oversized is None:
            self._tail += piece
            if len(self._tail) <= self._max_bytes:
                return
            from hashlib import sha256  # 2 ms, for lines that are rare

            self._oversized = sha256()
            self._length = 0
            piece, self._tail = bytes(self._tail), bytearray()
        self._oversized.update(piece)
        self._length += len(piece)

    def _end_oversized(self, newline: int) -> tuple[Batch, Failed]:
        assert self._oversized is not None
        message = f"line of {self._length} bytes, the limit is {self._max_bytes}"
        details = {
            "length_bytes": self._length,
            "sha256": self._oversized.hexdigest(),
            "offset": self.offset,
        }
        cursor = Cursor(self._file, self.line, self.offset, self._part)
        batch = Batch(self._lane, cursor, [b""], self._length + newline)
        self.line += 1
        self.offset += self._length + newline
        self._oversized = None
        return batch, Failed("decode", "too_long", message, 0, details)

    def _batches(self, lines: list[bytes], n_bytes: int) -> list[tuple[Batch, Failed | None]]:
        """One batch, and those that oversized lines inside of a chunk cut it into."""
        if n_bytes <= self._max_bytes or max(map(len, lines)) <= self._max_bytes:
            cursor = Cursor(self._file, self.line, self.offset, self._part)
            self.line += len(lines)
            self.offset += n_bytes
            return [(Batch(self._lane, cursor, lines, n_bytes), None)]
        out: list[tuple[Batch, Failed | None]] = []
        fitting: list[bytes] = []
        ended = n_bytes == sum(map(len, lines)) + len(lines)
        for at, line in enumerate(lines):
            if len(line) <= self._max_bytes:
                fitting.append(line)
                continue
            if fitting:
                out += self._batches(fitting, sum(map(len, fitting)) + len(fitting))
                fitting = []
            self._keep(line)
            out.append(self._end_oversized(newline=int(ended or at + 1 < len(lines))))
        if fitting:
            out += self._batches(fitting, sum(map(len, fitting)) + len(fitting) - (not ended))
        return out
