"""How far a file is written, and how it is cut back to there before it is opened again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamproc.errors import OutputError
from streamproc.fingerprint import (
    FileMark,
    Place,
    begins_as,
    has_zeros,
    is_file,
    mark_of,
    misfit,
)
from streamproc.interfaces import Misfit
from streamproc.threads import in_thread


class FilePositions:
    """The positions of a `ResumableSink` that writes a file; a pipe has none.

    `path` is a name, or the number of a descriptor that is open and stays so. `known` is an offset
    and the CRC-32 of what stands before it, None where no checksums are wanted.
    """

    position_type = FileMark

    def __init__(self, path: str | int, name: str, known: tuple[int, int] | None) -> None:
        self.path = path
        self.name = name
        self.known = known
        self.goes_on = False  # writes behind what is there

    async def position(self, place: Place, *, durable: bool) -> FileMark:
        """See `ResumableSink`."""
        return await asyncio.to_thread(self._mark, place, durable)

    async def fits(self, position: FileMark, later: FileMark | None = None) -> Misfit | None:
        """See `ResumableSink`."""
        return await asyncio.to_thread(self._misfit, position, later)

    async def added(self, position: FileMark | None) -> int:
        """See `ResumableSink`. What was there already when the position was made is not new."""
        if position is not None and position.size != position.offset:
            return 0
        return await asyncio.to_thread(self._added, 0 if position is None else position.offset)

    async def rewind(self, position: FileMark | None) -> None:
        """See `ResumableSink`."""
        self.goes_on = True
        if position is not None and position.crc32 is not None and self.known is not None:
            self.known = (position.offset, position.crc32)
        if position is not None or isinstance(self.path, int):
            await in_thread(self._cut, None if position is None else position.offset)

    def _mark(self, place: Place, durable: bool) -> FileMark:
        try:
            if durable:
                os.fsync(place.fd)
            return mark_of(place)
        except OSError as error:
            raise self._error(error) from error

    def _misfit(self, mark: FileMark, later: FileMark | None) -> Misfit | None:
        latest = later or mark
        try:
            with self._opened(os.O_RDONLY) as fd:
                if fd is None:
                    return Misfit(f"{self.name} is missing") if latest.offset else None
                if not is_file(fd):
                    return Misfit(f"{self.name} is no file now, and was one at the checkpoint")
                size = os.fstat(fd).st_size
                if mark.offset and not size:
                    return Misfit(self._emptied(mark))
                if not mark.offset and not begins_as(latest, fd):  # every file fits that mark
                    problem: str | None = "it begins differently"
                else:
                    problem = misfit(mark, fd)
                if problem is None:
                    return None
                # it is shorter than it was, or has blocks that were never written
                is_lost = 0 < size < mark.offset or has_zeros(fd, 0, mark.offset)
                return Misfit(
                    f"{self.name} is not the output of the checkpoint: {problem}", is_lost
                )
        except OSError as error:
            return Misfit(f"{self.name} cannot be read: {error.strerror}")

    def _emptied(self, mark: FileMark) -> str:
        had = f"{self.name} is empty, and had {mark.offset} bytes at the checkpoint"
        if isinstance(self.path, int):
            return (
                f"{had} (the shell's > empties a file before the command starts: resume with "
                ">> FILE or -o FILE)"
            )
        return had

    def _added(self, offset: int) -> int:
        with self._opened(os.O_RDONLY) as fd:
            if fd is None or not is_file(fd):
                return 0
            return max(0, os.fstat(fd).st_size - offset)

    def _cut(self, offset: int | None) -> None:
        try:
            with self._opened(os.O_WRONLY) as fd:
                if fd is None or not is_file(fd):
                    return
                if offset is not None:
                    os.ftruncate(fd, offset)
                os.lseek(fd, 0, os.SEEK_END)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(self.name, error.strerror or str(error))

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int | None]:
        """A descriptor, None for a file that does not exist."""
        if isinstance(self.path, int):
            yield self.path
            return
        try:
            fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # it may be a pipe
        except FileNotFoundError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)
