"""Files: `-o`, dead letters, and a stdout that is one."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from io import FileIO
from types import TracebackType
from typing import Any, Self

from streamproc.codec import decode
from streamproc.errors import CreateError, DecodeError, OutputError, ReaderGoneError
from streamproc.fingerprint import Place, checksum, is_file, last_line
from streamproc.nearest import not_created
from streamproc.sinks.file_positions import FilePositions
from streamproc.threads import to_the_end

log = logging.getLogger("streamproc")


class FileSink(FilePositions):
    """Writes a file, in a thread so that a slow disk does not stop the loop.

    After an error the file ends with the last whole write: a disk that is full leaves no
    torn line behind. A file that is appended to gets the newline that its last line lacks;
    with `repeats`, when what was written last is written again, a torn line is taken off.
    """

    takes_messages = False
    blocked_s = 0.0

    def __init__(
        self,
        path: str | int,
        *,
        append: bool = False,
        repeats: bool = False,
        name: str | None = None,
        permissions: int = 0o666,
        known: tuple[int, int] | None = None,
    ) -> None:
        """`path`: a name, or the number of a descriptor that is open and stays so.

        `permissions` are those of a file that is new, less the umask.
        """
        super().__init__(path, name or str(path), known)
        self._append = append
        self._repeats = repeats
        self._permissions = permissions
        self._file: Any = None
        self._raw: _Summed
        self._begin: int | None = None  # where writing begins, None in what is no regular file
        self.written_bytes = 0

    async def __aenter__(self) -> Self:
        # a thread, because opening a named pipe waits for its reader
        await asyncio.get_running_loop().run_in_executor(None, self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            await self._file.close()

    @property
    def place(self) -> Place | None:
        """The open file and the offset up to which it is written, None if it is no file."""
        if self._begin is None:
            return None
        return Place(self._raw.fileno(), self._begin + self.written_bytes, self._raw.crc32)

    async def write(self, data: bytes) -> None:
        """Write all of `data`, or nothing of it. Raises `OutputError`, `ReaderGoneError`."""
        if self._begin is None:
            await self._write(data)
            return
        # a file takes what is on its way, whoever waits no longer: so its size is known
        await to_the_end(asyncio.ensure_future(self._write(data)))

    async def _write(self, data: bytes) -> None:
        begun, crc32 = self.written_bytes, self._raw.crc32
        left = memoryview(data)
        try:
            while left:
                count = await self._file.write(left)
                self.written_bytes += count
                left = left[count:]
        except BrokenPipeError:
            raise ReaderGoneError(f"the reader of {self.name} went away") from None
        except OSError as error:
            self._take_back(self.written_bytes - begun)
            self.written_bytes, self._raw.crc32 = begun, crc32
            raise OutputError(self.name, error.strerror or str(error)) from error

    def _take_back(self, count: int) -> None:
        if count and self._begin is not None:
            fd = self._raw.fileno()
            os.ftruncate(fd, os.fstat(fd).st_size - count)

    def _open(self) -> None:
        from aiofiles.threadpool import wrap

        appends = self._append or self.goes_on
        try:
            if isinstance(self.path, int):
                fd = self.path
            else:
                mode = os.O_APPEND if appends else os.O_TRUNC
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | mode
                fd = os.open(self.path, flags, self._permissions)
            self._raw = _Summed(fd, "wb", closefd=not isinstance(self.path, int))
            self._file = wrap(self._raw)
            if not is_file(fd):
                return
            if appends:
                _end_last_line(fd, self.name, repeats=self._repeats)
            at_end = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
            begin = os.lseek(fd, 0, os.SEEK_END if at_end else os.SEEK_CUR)
            if self.known is not None:
                known = self.known if self.known[0] <= begin else (0, 0)
                self._raw.crc32 = checksum(fd, begin, known)
            self._begin = begin
        except OSError as error:
            said = not_created(error, self.name)
            raise CreateError(f"cannot create {self.name}: {said}") from error


class _Summed(FileIO):
    """Keeps `crc32` of what is written, in the thread that writes; None: nobody wants it."""

    crc32: int | None = None

    def write(self, data: Any, /) -> int:  # a Buffer, which has no name before Python 3.12
        count = super().write(data)
        if self.crc32 is not None:
            from streamproc.crc32 import crc32

            self.crc32 = crc32(data[:count], self.crc32)
        return count


def _end_last_line(fd: int, name: str, *, repeats: bool) -> None:
    """Give a last line its newline: the process that wrote it may have died in the middle."""
    tail = last_line(fd)
    if not tail:
        return
    try:
        is_torn = not isinstance(decode(tail), dict)
    except DecodeError:
        is_torn = True
    if is_torn and repeats:
        log.warning("%s ends in a torn line: its %d bytes are taken off", name, len(tail))
        os.ftruncate(fd, os.fstat(fd).st_size - len(tail))
    else:
        os.write(fd, b"\n")
