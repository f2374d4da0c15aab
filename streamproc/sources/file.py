"""Files and stdin, one after the other, as one lane."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from streamproc.errors import InputError
from streamproc.record import Batch, Failed
from streamproc.sources.lines import LineCutter
from streamproc.sources.stdin import Descriptor

STDIN = "<stdin>"


class LineSource:
    """The lines of `inputs` in order; `-` is `stdin_fd`. All are opened before the first line."""

    def __init__(
        self, inputs: Sequence[str], *, stdin_fd: int = 0, max_line_bytes: int = 16 << 20
    ) -> None:
        self._inputs = list(inputs)
        self._stdin_fd = stdin_fd
        self._max_line_bytes = max_line_bytes
        self._open: list[int] = []
        self._left: deque[tuple[str, int]] = deque()
        self._ready: deque[tuple[Batch, Failed | None]] = deque()
        self._reader: Descriptor | None = None
        self._cutter: LineCutter | None = None
        self._name = ""
        self.size_bytes: int | None = None

    async def __aenter__(self) -> Self:
        sizes: list[int | None] = []
        for name in self._inputs:
            fd = self._stdin_fd if name == "-" else await self._open_file(name)
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"cannot read {name}: it is a directory")
            sizes.append(_remaining(fd) if stat.S_ISREG(status.st_mode) else None)
            self._left.append((STDIN if name == "-" else name, fd))
        known = [size for size in sizes if size is not None]
        self.size_bytes = sum(known) if len(known) == len(sizes) else None
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

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end. Raises `InputError`."""
        while not self._ready:
            if self._reader is None or self._cutter is None:
                if not self._left:
                    return None
                self._name, fd = self._left.popleft()
                self._reader = Descriptor(fd)
                self._cutter = LineCutter(self._name, self._max_line_bytes)
            try:
                chunk = await self._reader.read()
            except OSError as error:
                raise InputError(f"cannot read {self._name}: {error.strerror}") from error
            if chunk:
                self._ready.extend(self._cutter.feed(chunk))
            else:
                self._ready.extend(self._cutter.finish())
                self._reader = self._cutter = None
        return self._ready.popleft()

    def receive_nowait(self) -> tuple[Batch, Failed | None] | None:
        """The next of the lines that were read already; a chunk with a too-long line is several."""
        return self._ready.popleft() if self._ready else None

    def residue(self) -> tuple[Batch, Failed] | None:
        """Bytes after the last newline, when reading stopped before the end of input."""
        return self._cutter.residue() if self._cutter is not None else None

    async def _open_file(self, name: str) -> int:
        # a thread, because opening a named pipe waits for its writer
        try:
            fd = await asyncio.get_running_loop().run_in_executor(
                None, os.open, name, os.O_RDONLY | os.O_CLOEXEC
            )
        except OSError as error:
            raise InputError(f"cannot open {name}: {error.strerror}") from error
        self._open.append(fd)
        return fd


def _remaining(fd: int) -> int:
    return max(0, os.fstat(fd).st_size - os.lseek(fd, 0, os.SEEK_CUR))
