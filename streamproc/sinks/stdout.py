"""Writing a descriptor as it is: pipe, socket, terminal, file, /dev/null."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
import time
from types import TracebackType
from typing import Self

from streamproc.errors import OutputError, ReaderGoneError
from streamproc.fingerprint import Place
from streamproc.pipes import widen
from streamproc.sinks.file import FileSink
from streamproc.sinks.file_positions import FilePositions


class StdoutSink(FilePositions):
    """Writes an open descriptor without blocking the loop or changing its mode.

    `O_NONBLOCK` belongs to the open file, which the shell and its other children share.
    So a pipe or terminal is opened a second time, non-blocking; a socket is written with
    MSG_DONTWAIT, and watched through an epoll of our own, because uvloop makes what it
    watches non-blocking; what allows neither is written in a thread.
    """

    takes_messages = False

    def __init__(self, fd: int, *, known: tuple[int, int] | None = None) -> None:
        super().__init__(fd, "stdout", known)
        self.fd = fd
        self._own: int | None = None
        self._socket: socket.socket | None = None
        self._epoll: select.epoll | None = None
        self._blocking: FileSink | None = None
        self._room: asyncio.Future[None] | None = None
        self._written = 0
        self._blocked_s = 0.0  # until `_blocked_since_s`, if that is not None
        self._blocked_since_s: float | None = None

    async def __aenter__(self) -> Self:
        try:
            mode = os.fstat(self.fd).st_mode
        except OSError as error:
            raise OutputError(self.name, error.strerror or "closed") from error
        if stat.S_ISFIFO(mode):
            widen(self.fd)
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self.fd))
            if hasattr(select, "epoll"):  # Linux
                self._epoll = select.epoll()
                self._epoll.register(self._socket, select.EPOLLOUT)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            self._own = self._reopen()
        if self._socket is None and self._own is None:
            self._blocking = FileSink(self.fd, name=self.name, known=self.known)
            await self._blocking.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._epoll is not None:
            self._epoll.close()
        if self._own is not None:
            os.close(self._own)
        if self._blocking is not None:
            await self._blocking.__aexit__(kind, error, traceback)

    @property
    def blocked_s(self) -> float:
        """For how long its reader took nothing, all in all."""
        since_s = self._blocked_since_s
        return self._blocked_s + (0.0 if since_s is None else time.monotonic() - since_s)

    @property
    def written_bytes(self) -> int:
        """Bytes that were taken."""
        return self._blocking.written_bytes if self._blocking else self._written

    @property
    def place(self) -> Place | None:
        """The open file and the offset up to which it is written, None if it is no file."""
        return self._blocking.place if self._blocking else None

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises `OutputError`, `ReaderGoneError`."""
        if self._blocking is not None:
            await self._blocking.write(data)
            return
        left = memoryview(data)
        while left:
            try:
                count = self._send(left)
            except BlockingIOError:
                await self._writable()
            except (BrokenPipeError, ConnectionResetError):
                raise ReaderGoneError("the reader of stdout went away") from None
            except OSError as error:
                raise OutputError(self.name, error.strerror or str(error)) from error
            else:
                self._written += count
                left = left[count:]

    def _send(self, data: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        assert self._own is not None
        return os.write(self._own, data)

    def _reopen(self) -> int | None:
        try:
            return os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except BrokenPipeError:
            raise ReaderGoneError("the reader of stdout went away") from None
        except OSError as error:
            if error.errno == 6:  # ENXIO: a pipe that nobody reads any more
                raise ReaderGoneError("the reader of stdout went away") from None
            return None  # no /proc, or somebody else's terminal

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        self._room = loop.create_future()
        if self._epoll is not None:
            fd, watch, unwatch = self._epoll.fileno(), loop.add_reader, loop.remove_reader
        else:
            fd = self._own if self._own is not None else self.fd
            watch, unwatch = loop.add_writer, loop.remove_writer
        watch(fd, self._wake)
        self._blocked_since_s = time.monotonic()
        try:
            await self._room
        finally:
            unwatch(fd)
            self._blocked_s, self._blocked_since_s = self.blocked_s, None

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
