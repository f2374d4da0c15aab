"""JSON that is no JSON Lines → lines: arrays of records, records over several lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from streamproc.record import BOM, Batch, Cursor, Failed

if TYPE_CHECKING:
    from hashlib import _Hash

_START = re.compile(rb"[^ \t\r\n,]")  # of a value, or the bracket of an array around it
_AFTER_WORD = re.compile(rb"[ \t\r\n,\[\]{}]")
# Possessive (`++`, `*+`): of a string that never ends no shorter part is tried.
_IN_STRING = rb'(?:[^"\\]++|\\.)*+'
_REST_OF_STRING = re.compile(_IN_STRING + rb'("?)', re.DOTALL)
# As far as the next brackets, a string of which the end has not come, or the end of all
_TOKEN = re.compile(
    rb'(?:[^"{}\[\]]++|"%b")*+(?:([\[{]++)|([\]}]++)|(")%b|\Z)' % (_IN_STRING, _IN_STRING),
    re.DOTALL,
)
_OPENING, _CLOSING, _UNENDED = 1, 2, 3  # groups of it
# What stands between line breaks and their indentation. In a string a newline is no white
# space: there it stays what it is, an error.
_UNBROKEN = re.compile(rb'((?:[^"\r\n]++|"%b"?)++)(?:[\r\n][ \t\r\n]*+)?' % _IN_STRING, re.DOTALL)

Found = list[tuple[Batch, Failed | None]]


class JsonCutter:
    """Cuts the chunks of one file into its values; see `LineCutter`, whose methods it has.

    The elements of an array at the top are values of their own. Each becomes a line: line
    breaks and indentation between its tokens go, all other bytes stay. `line` counts values.
    """

    chunk_bytes = 16 << 10  # a value may have two bytes: in a larger one they keep the loop busy

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
        self.line = line
        self.offset = offset  # of all that was fed
        self._mark: bytes | None = b"" if offset == 0 else None  # what may be a byte order mark
        self._in_array = False
        self._value = bytearray()  # what came of the value that is not complete yet
        self._depth = 0
        self._in_string = self._in_word = self._escaped = False
        self._is_begun = False
        self._oversized: _Hash | None = None
        self._length = 0
        self._lines: list[bytes] = []
        self._found: Found = []

    @property
    def has_tail(self) -> bool:
        """Whether a value is begun."""
        return self._is_begun

    def feed(self, chunk: bytes) -> Found:
        """Batches, in order, of the values that `chunk` completes."""
        self.offset += len(chunk)
        if self._mark is not None:
            chunk, self._mark = self._mark + chunk, None
            if len(chunk) < len(BOM) and BOM.startswith(chunk):
                self._mark = chunk  # too short to tell
                return []
            chunk = chunk.removeprefix(BOM)
        at = 0
        while at < len(chunk):
            at = self._go_on(chunk, at) if self._is_begun else self._begin(chunk, at)
        return self._taken()

    def finish(self) -> Found:
        """At the end of input: a word that only the end ends, and what is not closed."""
        self._take_mark()
        if self._is_begun:
            self._end()
        if self._in_array:
            self._in_array = False
            self._flush()
            failed = Failed("decode", "malformed", "the input ends inside of an array: cut off?", 0)
            self._found.append((self._batch([b""]), failed))
        return self._taken()

    def residue(self) -> tuple[Batch, Failed] | None:
        """A value that is not complete, when there will be no end of input."""
        self._take_mark()
        if not self._is_begun or self._oversized is not None:
            return None
        cursor = Cursor(self._file, self.line, self.offset, self._part)
        batch = Batch(self._lane, cursor, [_as_line(self._value)], len(self._value))
        return batch, Failed("decode", "shutdown", "not complete when reading stopped", 0)

    def _take_mark(self) -> None:
        """Nothing follows what began like a byte order mark: it is the beginning of a value."""
        if self._mark:
            mark, self._mark = self._mark, None
            self._keep(mark[self._begin(mark, 0) :])

    def _begin(self, chunk: bytes, at: int) -> int:
        match = _START.search(chunk, at)
        if match is None:
            return len(chunk)
        mark = match[0]
        if mark == b"[" and not self._in_array:
            self._in_array = True
            return match.end()
        if mark == b"]" and self._in_array:
            self._in_array = False
            return match.end()
        self._is_begun = True
        self._depth = int(mark in b"{[")
        self._in_string = mark == b'"'
        self._in_word = not self._depth and not self._in_string
        self._keep(mark)
        return match.end()

    def _go_on(self, chunk: bytes, at: int) -> int:
        """To the end of the value, or of the chunk; returns where that is."""
        end = self._end_in(chunk, at)
        if end is None:
            self._keep(chunk[at:])
            return len(chunk)
        self._keep(chunk[at:end])
        self._end()
        return end

    def _end_in(self, chunk: bytes, at: int) -> int | None:
        """Where the value ends that goes on `at`, None if it is not in this chunk."""
        if self._in_word:
            delimiter = _AFTER_WORD.search(chunk, at)
            return None if delimiter is None else delimiter.start()
        if self._in_string:
            string = _REST_OF_STRING.match(chunk, at + self._escaped)
            assert string is not None  # it may be empty
            at = string.end()
            self._in_string = not string[1]
            self._escaped = self._in_string and at < len(chunk)
            if self._in_string:
                return None
            if not self._depth:
                return at
        for token in _TOKEN.finditer(chunk, at):
            end = token.end()
            if token.lastindex == _OPENING:
                self._depth += end - token.start(_OPENING)
            elif token.lastindex == _CLOSING:
                start = token.start(_CLOSING)
                if end - start >= self._depth:
                    return start + self._depth
                self._depth -= end - start
            elif token.lastindex == _UNENDED:
                self._in_string = True
                self._escaped = end < len(chunk)  # by the backslash that the chunk ends with
                break
        return None

    def _keep(self, piece: bytes) -> None:
        if self._oversized is None:
            self._value += piece
            if len(self._value) <= self._max_bytes:
                return
            from hashlib import sha256

            self._oversized = sha256()
            self._length = 0
            piece, self._value = bytes(self._value), bytearray()
        self._oversized.update(piece)
        self._length += len(piece)

    def _end(self) -> None:
        self._is_begun = self._in_word = self._in_string = self._escaped = False
        if self._oversized is None:
            self._lines.append(_as_line(self._value))
            self._value = bytearray()
            return
        self._flush()
        message = f"value of {self._length} bytes, the limit is {self._max_bytes}"
        details = {"length_bytes": self._length, "sha256": self._oversized.hexdigest()}
        self._found.append((self._batch([b""]), Failed("decode", "too_long", message, 0, details)))
        self._oversized = None

    def _batch(self, lines: list[bytes]) -> Batch:
        cursor = Cursor(self._file, self.line, self.offset, self._part)
        self.line += len(lines)
        return Batch(self._lane, cursor, lines, sum(map(len, lines)) + len(lines))

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._found.append((self._batch(lines), None))

    def _taken(self) -> Found:
        self._flush()
        found, self._found = self._found, []
        return found


def _as_line(value: bytearray) -> bytes:
    line = bytes(value)
    if b"\n" in line or b"\r" in line:
        line = b"".join(_UNBROKEN.findall(line))
    return line.replace(b"\n", b"\r")
