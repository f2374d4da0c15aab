"""Files and stdin, one after the other, as one lane."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamproc.errors import InputError
from streamproc.fingerprint import Bookmark
from streamproc.interfaces import Misfit
from streamproc.nearest import nearest_file
from streamproc.record import Batch, Cursor, Failed
from streamproc.sources.bookmarks import bookmark_of, misfit_of, rewind
from streamproc.sources.checksums import Checksums
from streamproc.sources.formats import head_of, refuse_others
from streamproc.sources.lines import LineCutter
from streamproc.sources.part import Part
from streamproc.sources.prefix import Prefix
from streamproc.sources.stdin import Descriptor

if TYPE_CHECKING:
    from streamproc.sources.json_values import JsonCutter


class LineSource:
    """The lines of `inputs` in order; `-` is `stdin_fd`. All are opened before the first line.

    With `resumable` it can tell a `position`, which costs a hash over what comes through
    pipes and a checksum over files. `before_tail` is awaited before the last line of a file,
    if that has no newline: somebody may be writing it.
    """

    position_type = Bookmark

    lag: int | None = None

    def __init__(
        self,
        inputs: Sequence[str],
        *,
        stdin_fd: int = 0,
        max_line_bytes: int = 16 << 20,
        resumable: bool = False,
        cutter_of: type[LineCutter | JsonCutter] = LineCutter,
        before_tail: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._inputs = list(inputs)
        self._stdin_fd = stdin_fd
        self._max_line_bytes = max_line_bytes
        self._resumable = resumable
        self._cutter_of = cutter_of
        self._before_tail = before_tail
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
            if part.is_file:
                self._refuse_others(part.name, await asyncio.to_thread(head_of, fd, part.begin))
            if self._resumable and part.is_file:
                part.sums = await asyncio.to_thread(Checksums, fd, part.begin)
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
            if part.offset == 0 and not part.is_file:
                self._refuse_others(part.name, chunk)
            if not chunk and self._cutter.has_tail:
                if self._before_tail is not None and part.is_file and part is self._parts[-1]:
                    await self._before_tail()
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

        A file has none: all of that line is still there, for a later run.
        """
        if self._cutter is None or self._parts[self._at].is_file:
            return None
        return self._cutter.residue()

    async def position(self, cursor: Cursor | None) -> Bookmark:
        """See `ResumableSource`."""
        if cursor is None and self._resumed is not None:
            return self._resumed
        at = cursor.part if cursor is not None else min(max(0, self._at), len(self._parts) - 1)
        return await bookmark_of(self._parts, at, cursor)

    async def fits(self, position: Bookmark, later: Bookmark | None = None) -> Misfit | None:
        """See `ResumableSource`. Raises `InputError`."""
        return await misfit_of(self._parts, position)

    async def rewind(self, position: Bookmark) -> None:
        """See `ResumableSource`. After `fits`."""
        await rewind(self._parts, position)
        self._skip = position.skip
        self._resumed = position

    def _refuse_others(self, name: str, head: bytes) -> None:
        refuse_others(name, head, any_json=self._cutter_of is not LineCutter)

    def _next_part(self) -> bool:
        self._at = min(self._at + 1, len(self._parts))
        if self._at == len(self._parts):
            return False
        part = self._parts[self._at]
        if not part.is_done:
            self._reader = Descriptor(
                part.fd,
                None if part.sums is None else part.sums.add,
                chunk_bytes=self._cutter_of.chunk_bytes,
            )
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
            fd = await asyncio.to_thread(os.open, name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            said = f"{error.strerror}{nearest_file(name)}"
            raise InputError(f"cannot open {name}: {said}") from error
        self._open.append(fd)
        return fd
