"""Values that go down the stream: no behaviour of their own."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import Struct, field

from streamproc.paths import Path
from streamproc.types import Offset, Record

OK = "ok"
FAILED = "failed"
DEAD_LETTERED = "dead_lettered"
DROPPED = "dropped"
FILTERED = "filtered"
SKIPPED = "skipped"
UNPROCESSED = "unprocessed"
UNSELECTED = "unselected"
BLANK = "blank"
FAILURES = (FAILED, DEAD_LETTERED, DROPPED)

_NUMBERS = itertools.count()

BOM = b"\xef\xbb\xbf"  # byte order mark: some put it before UTF-8
WHITESPACE = b" \t\r\n"  # what JSON allows around a record; in lines of files no newline is left


class Cursor(NamedTuple):
    """Where a batch begins: physical `line` (from 1) and byte `offset` in `file`.

    `part` is the number of that file among the inputs.
    """

    file: str
    line: int
    offset: int
    part: int = 0


def id_of(run_id: str, cursor: Cursor, i: int) -> str:
    """What a record is called in `_error`, logs and events: line i of a batch that begins there.

    Without an id that somebody chose for the run the same input makes the same bytes.
    """
    where = f"{cursor.file}:{cursor.line + i}"
    return f"{run_id}:{where}" if run_id else where


class Progress(Struct, frozen=True):
    """How far an input is done: `lines` from its beginning on, `blank` ones among them.

    `done` are spans of lines, counted from there, that are done as well.
    """

    lines: Offset = 0
    blank: Offset = 0
    done: tuple[tuple[Offset, Offset], ...] = ()


class Failed(Struct, frozen=True):
    """Why a record failed. `details` are further members of its `_error`.

    `group` tells failures of the same kind apart: a status, the type of an exception.
    """

    stage: str
    kind: str
    message: str
    attempts: int = 1
    details: dict[str, Any] = field(default_factory=dict)
    group: str = ""

    def __str__(self) -> str:
        kind = self.kind if self.message.startswith(self.group) else f"{self.kind} {self.group}"
        return f"{kind} in {self.stage}: {self.message}"


class Example(NamedTuple):
    """A record that failed, for people: the beginning of its `record`, and where it stands."""

    id: str
    file: str
    line: int
    stage: str
    kind: str
    message: str
    record: bytes


class Note(Struct, frozen=True):
    """What became of a record that did not simply turn into one line.

    `line` is its output (`b""`: none; several lines when `lines_out` > 1), without
    the last newline; `dead_letter` its line for the dead-letter file. `failed`: why it failed, in
    brief and without secrets. `context` are the headers that say which trace it is part of, as
    whole lines with CRLF; empty: of none.
    """

    status: str
    line: bytes = b""
    lines_out: int = 0
    dead_letter: bytes | None = None
    malformed: bool = False
    had_error: bool = False
    failed: Failed | None = None
    context: bytes = b""


BLANK_NOTE = Note(BLANK)
FILTERED_NOTE = Note(FILTERED)
SKIPPED_NOTE = Note(SKIPPED)
UNSELECTED_NOTE = Note(UNSELECTED)


class Batch:
    """Some whole lines of one lane, in input order, and what became of each.

    `lines` come without their newline, blank ones included. `results[i]` is the
    output of line i: bytes without newline, `b""` for none, None while it is open.
    `notes[i]` exists for every line whose outcome is more than one good line.
    """

    __slots__ = (
        "cursor", "followed", "is_begun", "is_dropped", "lane", "large", "leaving", "lines",
        "messages", "n_bytes", "notes", "number", "open", "passed", "results", "taken", "written",
    )  # fmt: skip

    def __init__(self, lane: int, cursor: Cursor, lines: list[bytes], n_bytes: int) -> None:
        self.lane = lane
        self.number = next(_NUMBERS) << 32  # plus the index of a line: the age of its record
        self.cursor = cursor
        self.lines = lines
        self.n_bytes = n_bytes
        self.results: list[bytes | None] = [None] * len(lines)
        self.notes: dict[int, Note] = {}
        self.large: dict[int, int] = {}  # results that are counted as memory, in bytes
        self.leaving: dict[int, int] = {}  # the same, of those that the writer has
        self.open = len(lines)  # lines without a result
        self.taken = 0  # lines handed to the writer, by a reorder buffer that keeps order
        self.written = 0  # lines written and flushed
        self.messages: list[Any] | None = None  # what the lines came in, with key and headers
        self.passed = b""  # of each line whether a selection passed over it; empty: of none
        self.followed: Container[int] | None = None  # lines somebody may follow; None: not chosen
        self.is_begun = False  # a consumer has taken lines of it
        self.is_dropped = False  # somebody else does it now

    def __len__(self) -> int:
        return len(self.lines)

    def pass_over(self, passed: bytes) -> None:
        """There is no work on the lines marked in `passed`, in which they are blank from here on.

        Only when nobody counts bytes by lines any more.
        """
        if any(passed):
            self.passed = passed
            lines = zip(self.lines, passed, strict=True)
            self.lines = [b"" if is_passed else line for line, is_passed in lines]

    def cut(self, count: int) -> tuple[Batch, Batch | None]:
        """The first `count` lines, and the rest if there is one. Only before work begins."""
        if count >= len(self.lines):
            return self, None
        first, second = self.parts((count, len(self.lines)))
        return first, second

    def parts(self, stops: Iterable[int]) -> Iterator[Batch]:
        """The lines up to each of `stops`, as batches of their own. Only before work begins."""
        file, line, offset, part = self.cursor
        start, left = 0, self.n_bytes
        for stop in stops:
            lines = self.lines[start:stop]
            whole = stop == len(self.lines)  # then the last newline may be missing
            n_bytes = left if whole else sum(map(len, lines)) + len(lines)
            made = Batch(self.lane, Cursor(file, line + start, offset, part), lines, n_bytes)
            if self.messages is not None:
                made.messages = self.messages[start:stop]
            yield made
            # an offset in a topic counts messages
            offset += n_bytes if self.messages is None else stop - start
            start, left = stop, left - n_bytes


def dead_letters(spans: Iterable[tuple[Batch, int, int]]) -> Iterator[tuple[Batch, int, bytes]]:
    """Those among the lines `start` to `stop` of each batch: batch, number of the line, letter."""
    for batch, start, stop in spans:
        if batch.notes:
            for i in range(start, stop):
                note = batch.notes.get(i)
                if note is not None and note.dead_letter is not None:
                    yield batch, i, note.dead_letter


class Nothing:
    """What a call returns that has nothing to add; None is JSON's null there."""

    def __repr__(self) -> str:
        return "NOTHING"


NO_RESULT = Nothing()


class Selected(dict[str, Any]):
    """An object that replaces a record, and what of it stands in that record already.

    `path` is where the object itself stands there, if it does (() is the record), `paths`
    where its members do.
    """

    __slots__ = ("path", "paths")

    def __init__(
        self,
        value: Record,
        path: Path | None,
        paths: dict[str, Path],
    ) -> None:
        super().__init__(value)
        self.path = path
        self.paths = paths


class FanOutResult(Struct, frozen=True):
    """Results of several sources: each with its path in the record (None: top level)."""

    parts: list[tuple[Path | None, Any]]
