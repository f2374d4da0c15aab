"""Files: `-o`, dead letters, and a stdout that is one."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType
from typing import Any, Literal, Self

from streamproc.errors import CreateError, OutputError, ReaderGoneError
from streamproc.fingerprint import is_file


class FileSink:
    """Writes a file, in a thread so that a slow disk does not stop the loop.

    After an error the file ends with the last whole write: a disk that is full leaves no
    torn line behind.
    """

    takes_messages = False

    def __init__(
        self,
        path: str | int,
        *,
        append: bool = False,
        name: str | None = None,
        permissions: int = 0o666,
    ) -> None:
        """`path`: a name, or the number of a descriptor that is open and stays so.

        `permissions` are those of a file that is new, less the umask.
        """
        self.path = path
        self.append = append
        self._permissions = permissions
        self._file: Any = None
        self._begin: int | None = None  # where writing begins, None in what is no regular file
        self.name = name or str(path)
        self.written_bytes = 0

    async def __aenter__(self) -> Self:
        import aiofiles

        mode: Literal["ab", "wb"] = "ab" if self.append else "wb"
        is_open = isinstance(self.path, int)
        try:
            self._file = await aiofiles.open(
                self.path, mode, buffering=0, closefd=not is_open, opener=self._open
            )
        except OSError as error:
            raise CreateError(f"cannot create {self.name}: {error.strerror}") from error
        fd = self._file.fileno()
        if is_file(fd):
            appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
            self._begin = os.lseek(fd, 0, os.SEEK_END if appends else os.SEEK_CUR)
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
    def place(self) -> tuple[int, int] | None:
        """The open file and the offset up to which it is written, None if it is no file."""
        if self._begin is None:
            return None
        return self._file.fileno(), self._begin + self.written_bytes

    async def write(self, data: bytes) -> None:
        """Write all of `data`, or nothing of it. Raises `OutputError`, `ReaderGoneError`."""
        begun = self.written_bytes
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
            self.written_bytes = begun
            raise OutputError(self.name, error.strerror or str(error)) from error

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._permissions)

    def _take_back(self, count: int) -> None:
        fd = self._file.fileno()
        if count and self._begin is not None:
            os.ftruncate(fd, os.fstat(fd).st_size - count)
