"""Reading a descriptor as it is: pipe, socket, terminal, file, /dev/null."""

from __future__ import annotations

import asyncio
import os
import select
import stat
from collections.abc import Callable
from io import FileIO
from typing import Any

from streamproc.pipes import widen

CHUNK_BYTES = 128 * 1024  # larger ones make memory peaks, smaller ones system calls


class _Heard(FileIO):
    """A file whose chunks somebody else gets, too, in the thread that reads."""

    def __init__(self, fd: int, on_chunk: Callable[[bytes], None] | None) -> None:
        super().__init__(fd, "rb", closefd=False)
        self._on_chunk = on_chunk

    def read(self, size: int | None = -1, /) -> Any:  # None too, which typeshed leaves out
        chunk = super().read(size)
        if self._on_chunk is not None and chunk:
            self._on_chunk(chunk)
        return chunk


class Descriptor:
    """Reads chunks of an open descriptor, without changing its blocking mode.

    What can be polled is read when the loop says that there is something: then a blocking
    descriptor does not block, and nothing is taken from it before it is wanted. Files
    are always ready; they are read in a thread, so that a slow disk does not stop the loop.
    """

    def __init__(
        self,
        fd: int,
        on_chunk: Callable[[bytes], None] | None = None,
        *,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """`on_chunk` gets each chunk of a file, in the thread that has read it."""
        self._fd = fd
        self._on_chunk = on_chunk
        self._chunk_bytes = chunk_bytes
        mode = os.fstat(fd).st_mode
        self._is_file = stat.S_ISREG(mode)
        if stat.S_ISFIFO(mode):
            widen(fd)
        self._file: Any = None
        self._ready: asyncio.Future[None] | None = None
        self._epoll: select.epoll | None = None

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Raises OSError.

        Cancelled, it has taken nothing of a pipe; of a file a thread may still read a chunk.
        """
        if self._is_file:
            if self._file is None:
                from aiofiles.threadpool import wrap

                self._file = wrap(_Heard(self._fd, self._on_chunk))
            return bytes(await self._file.read(self._chunk_bytes))
        while True:
            await self._readable()
            try:
                return os.read(self._fd, self._chunk_bytes)
            except BlockingIOError:  # it came non-blocking, and somebody else was faster
                continue

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        try:
            watched = self._watched()
            loop.add_reader(watched, self._wake)
        except PermissionError:  # /dev/null and its like cannot be polled: always ready
            return
        try:
            await self._ready
        finally:
            loop.remove_reader(watched)

    def _watched(self) -> int:
        """On Linux an epoll of our own: uvloop makes non-blocking what it watches."""
        if not hasattr(select, "epoll"):
            return self._fd
        if self._epoll is None:
            epoll = select.epoll()
            epoll.register(self._fd, select.EPOLLIN)
            self._epoll = epoll
        return self._epoll.fileno()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
