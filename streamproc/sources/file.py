"""Files and stdin, one after the other, as one lane."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from streamproc.errors import InputError, ResumeError
from streamproc.fingerprint import Bookmark, FileMark, Mark, PipeMark, misfit
from streamproc.nearest import nearest_file
from streamproc.record import Batch, Cursor, Failed
from streamproc.sources.checksums import Checksums
from streamproc.sources.formats import head_of, refuse_others
from streamproc.sources.json_values import JsonCutter
from streamproc.sources.lines import LineCutter
from streamproc.sources.part import Part
from streamproc.sources.prefix import Prefix
from streamproc.sources.stdin import Descriptor

T = TypeVar("T")


class LineSource:
    """The lines of `inputs` in order; `-` is `stdin_fd`. All are opened before the first line.

    With `resumable` it can tell a `bookmark`, which costs a hash over what comes through
    pipes and a checksum over files, and `resume` at one. `before_tail` is awaited before
    the last line of a file, if that has no newline: somebody may be writing it.
    """

    lag: int | None = None
    before_tail: Callable[[], Awaitable[None]] | None = None

    def __init__(
        self,
        inputs: Sequence[str],
        *,
        stdin_fd: int = 0,
        max_line_bytes: int = 16 << 20,
        resumable: bool = False,
        cutter_of: type[LineCutter | JsonCutter] = LineCutter,
    ) -> None:
        self._inputs = list(inputs)
        self._stdin_fd = stdin_fd
        self._max_line_bytes = max_line_bytes
        self._resumable = resumable
        self._cutter_of = cutter_of
        self._open: list[int] = []
        self._parts: list[Part] = []
        self._at = -1  # the part that is read
        self._ready: deque[tuple[Batch, Failed | None]] = deque()
        self._reader: Descriptor | None = None
        self._cutter: LineCutter | JsonCutter | None = None
        self._resumed: Bookmark | None = None
        self._skip = 0  # lines, before the first

    async def __aenter__(self) -> Self:
        for name in self._inputs:
            fd = self._stdin_fd if name == "-" else await self._open_file(name)
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise InputError(f"cannot read {name}: it is a directory")
            part = Part(name, fd)
            if part.is_file and self._cutter_of is LineCutter:
                refuse_others(part.name, await _in_thread(head_of, fd, part.begin))
            if self._resumable and part.is_file:
                part.sums = await _in_thread(Checksums, fd, part.begin)
            elif self._resumable:
                part.prefix = Prefix()
            self._parts.append(part)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for fd in self._open:
            os.close(fd)
        self._open = []

    @property
    def size_bytes(self) -> int | None:
        """Bytes that are still to be read, None if that is not known."""
        left = [part for part in self._parts if not part.is_done]
        if not all(part.is_file for part in left):
            return None
        return sum(max(0, os.fstat(p.fd).st_size - os.lseek(p.fd, 0, os.SEEK_CUR)) for p in left)

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end. Raises `InputError`."""
        while not self._ready:
            if self._reader is None or self._cutter is None:
                if not self._next_part():
                    return None
                continue
            part = self._parts[self._at]
            try:
                chunk = part.rest or await self._reader.read()
            except OSError as error:
                raise InputError(f"cannot read {part.name}: {error.strerror}") from error
            part.rest = b""
            if part.offset == 0 and not part.is_file and self._cutter_of is LineCutter:
                refuse_others(part.name, chunk)
            if not chunk and self._cutter.has_tail:
                if self.before_tail is not None and part.is_file and part is self._parts[-1]:
                    await self.before_tail()
                part.is_unended = True
            self._add(self._cutter.feed(chunk) if chunk else self._cutter.finish())
            part.line, part.offset = self._cutter.line, self._cutter.offset
            if part.prefix is not None:
                await part.prefix.feed(chunk, part.offset, part.line)
            if not chunk:
                self._reader = self._cutter = None
        return self._ready.popleft()

    def receive_nowait(self) -> tuple[Batch, Failed | None] | None:
        """The next of the lines that were read already; a chunk with a too-long line is several."""
        return self._ready.popleft() if self._ready else None

    def residue(self) -> tuple[Batch, Failed] | None:
        """Bytes after the last newline, when reading stopped before the end of input.

        None of a file: the rest of that line is there, and so are they.
        """
        if self._cutter is None or self._parts[self._at].is_file:
            return None
        return self._cutter.residue()

    async def bookmark(self, cursor: Cursor | None) -> Bookmark:
        """The place of `cursor`, None for where reading began."""
        if cursor is None and self._resumed is not None:
            return self._resumed
        at = cursor.part if cursor is not None else min(max(0, self._at), len(self._parts) - 1)
        marks: list[Mark] = []
        line = skip = 0
        is_unended = False
        for part in self._parts[: at + 1]:
            is_last = part is self._parts[at]
            line, offset = part.line, part.offset
            if is_last and cursor is not None:
                line, offset = cursor.line, cursor.offset
            if part.prefix is not None:
                mark, marked_line = await part.prefix.mark(offset)
                marks.append(mark)
                line, skip = marked_line, line - marked_line
            else:
                skip = 0
                if part.mark is not None:
                    marks.append(part.mark)
                    continue
                assert part.sums is not None
                found = await _in_thread(part.sums.mark, part.begin + offset)
                marks.append(found)
                part.mark = None if is_last else found
            is_unended = part.is_unended and offset == part.offset
        return Bookmark(tuple(marks), line, skip, is_unended)

    async def is_outgrown(self, bookmark: Bookmark) -> bool:
        """Whether the line before it, which had no newline, has grown since. Only for files."""
        part = self._parts[min(len(bookmark.marks), len(self._parts)) - 1]
        mark = bookmark.marks[-1]
        if not (bookmark.is_unended and part.is_file and isinstance(mark, FileMark)):
            return False
        return await _in_thread(os.pread, part.fd, 1, mark.offset) not in (b"", b"\n")

    async def resume(self, bookmark: Bookmark) -> None:
        """Go on from there. Raises `ResumeError` if the input is another one."""
        if len(bookmark.marks) > len(self._parts):
            count = len(bookmark.marks)
            raise ResumeError(f"the checkpoint is in input {count}, only {len(self._parts)} given")
        for part, mark in zip(self._parts, bookmark.marks, strict=False):
            is_last = mark is bookmark.marks[-1]
            if isinstance(mark, FileMark):
                await self._find(part, mark)
            else:
                await self._read_again(part, mark, bookmark.line)
            if not is_last:
                await self._expect_end(part, mark)
            elif bookmark.is_unended:
                await self._pass_newline(part, mark.offset, bookmark.line)
            part.is_done = True
        part.is_done = False
        part.line, self._skip = bookmark.line, bookmark.skip
        self._resumed = bookmark

    async def _find(self, part: Part, mark: FileMark) -> None:
        if not part.is_file:
            raise ResumeError(
                f"{part.name} is a pipe, and was a file when the checkpoint was written: name the "
                "file, or redirect it (< FILE)"
            )
        if problem := await _in_thread(misfit, mark, part.fd):
            raise ResumeError(f"{part.name} is not the input of the checkpoint: {problem}")
        known = (0, 0) if mark.crc32 is None else (mark.offset, mark.crc32)
        part.sums = await _in_thread(Checksums, part.fd, mark.offset, known)
        part.offset = mark.offset - part.begin
        os.lseek(part.fd, mark.offset, os.SEEK_SET)

    async def _read_again(self, part: Part, mark: PipeMark, line: int) -> None:
        """A pipe cannot be seeked: what comes first has to be what came first."""
        part.prefix = prefix = Prefix()
        reader = Descriptor(part.fd)
        while prefix.offset < mark.offset:
            try:
                chunk = await reader.read()
            except OSError as error:
                raise InputError(f"cannot read {part.name}: {error.strerror}") from error
            if not chunk:
                raise ResumeError(
                    f"{part.name} ended after {prefix.offset} bytes, the checkpoint stands at "
                    f"{mark.offset}: pipe the same input in again, from its start"
                )
            left = mark.offset - prefix.offset
            chunk, part.rest = chunk[:left], chunk[left:]
            await prefix.feed(chunk, prefix.offset + len(chunk), line)
        found, _ = await prefix.mark(mark.offset)
        if found != mark:
            raise ResumeError(
                f"{part.name} is not the input of the checkpoint: its first {mark.offset} bytes "
                "are not the same"
            )
        part.offset = mark.offset

    async def _expect_end(self, part: Part, mark: Mark) -> None:
        """Lines that were added to an input after which others were done have no place."""
        if isinstance(mark, FileMark):
            part.mark = mark
            grown = os.fstat(part.fd).st_size > mark.offset
        else:
            grown = bool(part.rest or await Descriptor(part.fd).read())
        if grown:
            raise ResumeError(
                f"{part.name} has more lines than at the checkpoint, and inputs after it were "
                "begun: only the last input may grow; do the new lines in a run of their own"
            )

    async def _pass_newline(self, part: Part, offset: int, line: int) -> None:
        """After a last line that had no newline, if it has got one since."""
        if part.sums is not None:
            if await _in_thread(os.pread, part.fd, 1, offset) == b"\n":
                part.sums.add(b"\n")
                part.offset = os.lseek(part.fd, 1, os.SEEK_CUR) - part.begin
            return
        assert part.prefix is not None
        part.rest = part.rest or await Descriptor(part.fd).read()
        if part.rest[:1] == b"\n":
            part.rest = part.rest[1:]
            part.offset += 1
            await part.prefix.feed(b"\n", part.offset, line)
        elif part.rest:
            raise ResumeError(
                f"the last line of {part.name} had no newline and was done as it was; now it has "
                "grown, and a pipe cannot be read back: pipe in whole lines"
            )

    def _next_part(self) -> bool:
        self._at += 1
        if self._at == len(self._parts):
            return False
        part = self._parts[self._at]
        if not part.is_done:
            self._reader = Descriptor(part.fd, None if part.sums is None else part.sums.add)
            self._cutter = self._cutter_of(
                part.name, self._max_line_bytes, part=self._at, line=part.line, offset=part.offset
            )
        return True

    def _add(self, found: list[tuple[Batch, Failed | None]]) -> None:
        for batch, failed in found:
            rest: Batch | None = batch
            if self._skip:
                skipped, rest = batch.cut(self._skip)
                self._skip -= len(skipped)
            if rest is not None:
                self._ready.append((rest, failed))

    async def _open_file(self, name: str) -> int:
        # a thread, because opening a named pipe waits for its writer
        try:
            fd = await _in_thread(os.open, name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            said = f"{error.strerror}{nearest_file(name)}"
            raise InputError(f"cannot open {name}: {said}") from error
        self._open.append(fd)
        return fd


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)
