"""Places in files and pipes: what they are recognised by, and how a run goes on at one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from streamproc.errors import InputError
from streamproc.fingerprint import Bookmark, FileMark, Mark, PipeMark, misfit
from streamproc.interfaces import Misfit
from streamproc.record import Cursor
from streamproc.sources.checksums import Checksums
from streamproc.sources.part import Part
from streamproc.sources.prefix import Prefix
from streamproc.sources.stdin import Descriptor

_OUTGROWN = (
    "the last line of the input had no newline and was done as it was; now it has grown, and its "
    "output cannot be taken back any more: begin again, without the checkpoint and the output, or "
    "give that line its newline"
)


async def bookmark_of(parts: Sequence[Part], at: int, cursor: Cursor | None) -> Bookmark:
    """The place of `cursor` in the part `at`, or how far that is read."""
    marks: list[Mark] = []
    line = skip = 0
    is_unended = False
    for part in parts[: at + 1]:
        is_last = part is parts[at]
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
            found = await asyncio.to_thread(part.sums.mark, part.begin + offset)
            marks.append(found)
            part.mark = None if is_last else found
        is_unended = part.is_unended and offset == part.offset
    return Bookmark(tuple(marks), line, skip, is_unended)


async def misfit_of(parts: Sequence[Part], bookmark: Bookmark) -> Misfit | None:
    """Why a run cannot go on at `bookmark`. A pipe is read up to there. Raises `InputError`."""
    if len(bookmark.marks) > len(parts):
        count = len(bookmark.marks)
        return Misfit(f"it is in input {count}, only {len(parts)} given")
    if await _is_outgrown(parts, bookmark):
        return Misfit(_OUTGROWN, has_earlier=True)
    for part, mark in zip(parts, bookmark.marks, strict=False):
        if isinstance(mark, FileMark):
            problem = await _file_misfit(part, mark)
        else:
            problem = await _pipe_misfit(part, mark, bookmark.line)
        is_last = mark is bookmark.marks[-1]
        if problem is None and not is_last:
            problem = await _unexpected(part, mark)
        elif problem is None and bookmark.is_unended and part.prefix is not None:
            problem = await _grown_pipe(part, mark)
        if problem is not None:
            return Misfit(problem)
    return None


async def rewind(parts: Sequence[Part], bookmark: Bookmark) -> None:
    """Go on there; it fits."""
    for part, mark in zip(parts, bookmark.marks, strict=False):
        is_last = mark is bookmark.marks[-1]
        if isinstance(mark, FileMark):
            known = (0, 0) if mark.crc32 is None else (mark.offset, mark.crc32)
            part.sums = await asyncio.to_thread(Checksums, part.fd, mark.offset, known)
            part.offset = mark.offset - part.begin
            part.mark = None if is_last else mark
            os.lseek(part.fd, mark.offset, os.SEEK_SET)
        elif part.offset < mark.offset:
            part.offset = mark.offset
        if is_last and bookmark.is_unended:
            await _pass_newline(part, mark.offset, bookmark.line)
        part.is_done = not is_last
        part.line = bookmark.line if is_last else part.line


async def _is_outgrown(parts: Sequence[Part], bookmark: Bookmark) -> bool:
    """Whether the line before it, which had no newline, has grown since. Only for files."""
    part, mark = parts[len(bookmark.marks) - 1], bookmark.marks[-1]
    if not (bookmark.is_unended and part.is_file and isinstance(mark, FileMark)):
        return False
    return await asyncio.to_thread(os.pread, part.fd, 1, mark.offset) not in (b"", b"\n")


async def _file_misfit(part: Part, mark: FileMark) -> str | None:
    if not part.is_file:
        return (
            f"{part.name} is a pipe, and was a file when the checkpoint was written: name the "
            "file, or redirect it (< FILE)"
        )
    if problem := await asyncio.to_thread(misfit, mark, part.fd):
        return f"{part.name} is not the input of the checkpoint: {problem}"
    return None


async def _pipe_misfit(part: Part, mark: PipeMark, line: int) -> str | None:
    """A pipe cannot be rewound: it has to begin with the bytes with which it began before."""
    part.prefix = prefix = part.prefix or Prefix()
    reader = Descriptor(part.fd)
    while prefix.offset < mark.offset:
        try:
            chunk = await reader.read()
        except OSError as error:
            raise InputError(f"cannot read {part.name}: {error.strerror}") from error
        if not chunk:
            return (
                f"{part.name} ended after {prefix.offset} bytes, the checkpoint stands at "
                f"{mark.offset}: pipe the same input in again, from its start"
            )
        left = mark.offset - prefix.offset
        chunk, part.rest = chunk[:left], chunk[left:]
        await prefix.feed(chunk, prefix.offset + len(chunk), line)
    found, _ = await prefix.mark(mark.offset)
    if found != mark:
        return (
            f"{part.name} is not the input of the checkpoint: its first {mark.offset} bytes "
            "are not the same"
        )
    return None


async def _unexpected(part: Part, mark: Mark) -> str | None:
    """Lines that were added to an input cannot be done in order: inputs behind it are done."""
    if isinstance(mark, FileMark):
        grown = os.fstat(part.fd).st_size > mark.offset
    else:
        part.rest = part.rest or await Descriptor(part.fd).read()
        grown = bool(part.rest)
    if grown:
        return (
            f"{part.name} has more lines than at the checkpoint, and inputs after it were "
            "begun: only the last input may grow; do the new lines in a run of their own"
        )
    return None


async def _grown_pipe(part: Part, mark: Mark) -> str | None:
    assert part.prefix is not None
    if part.prefix.offset == mark.offset:
        part.rest = part.rest or await Descriptor(part.fd).read()
        if part.rest[:1] not in (b"", b"\n"):
            return (
                f"the last line of {part.name} had no newline and was done as it was; now it has "
                "grown, and a pipe cannot be read back: pipe in whole lines"
            )
    return None


async def _pass_newline(part: Part, offset: int, line: int) -> None:
    """After a last line that had no newline, if it has got one since."""
    if part.prefix is None:
        assert part.sums is not None
        if await asyncio.to_thread(os.pread, part.fd, 1, offset) == b"\n":
            part.sums.add(b"\n")
            part.offset = os.lseek(part.fd, 1, os.SEEK_CUR) - part.begin
    elif part.prefix.offset == offset and part.rest[:1] == b"\n":
        part.rest = part.rest[1:]
        part.offset += 1
        await part.prefix.feed(b"\n", part.offset, line)
