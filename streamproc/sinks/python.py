"""Where results go in Python code: a list, an open file, a caller in another thread."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

from streamproc.codec import decode
from streamproc.codec.line import split
from streamproc.entering import Entered
from streamproc.errors import OutputError
from streamproc.fingerprint import Place
from streamproc.types import Record
from streamproc.waiting import resolve


class _Opened(Entered):
    place: Place | None = None
    takes_messages = False
    blocked_s = 0.0

    def __init__(self) -> None:
        self.written_bytes = 0


class ListSink(_Opened):
    """Appends records, as dicts, to a list."""

    name = "list"

    def __init__(self, records: list[Record]) -> None:
        super().__init__()
        self._records = records

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        self._records.extend(map(decode, split(data)[:-1]))
        self.written_bytes += len(data)


class OpenFileSink(_Opened):
    """Writes to a file object, binary or text, in a thread: it may block."""

    def __init__(self, file: Any) -> None:  # binary or text, with as much of `IO` as is used here
        super().__init__()
        self._file = file
        self._is_text = isinstance(file, io.TextIOBase)
        self.name = str(getattr(file, "name", "file"))

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._write, data)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise OutputError(self.name, str(error)) from error
        self.written_bytes += len(data)

    def _write(self, data: bytes) -> None:
        rest: Any = data.decode() if self._is_text else memoryview(data)
        while rest:
            written = self._file.write(rest)
            rest = rest[len(rest) if written is None else written :]
        self._file.flush()


class HandOverSink(_Opened):
    """Hands lines to a thread that calls `take`; writing waits until it has taken them."""

    name = "map"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[bytes] = []
        self._closed = False
        self._changed = threading.Condition()
        self._taken: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        loop = asyncio.get_running_loop()
        taken = loop.create_future()
        with self._changed:
            self._lines = split(data)[:-1]
            self._taken = loop, taken
            self._changed.notify()
        await taken
        self.written_bytes += len(data)

    def take(self) -> list[bytes]:
        """From the other thread: the next lines, none at the end."""
        with self._changed:
            while not self._lines and not self._closed:
                self._changed.wait()
            lines, self._lines = self._lines, []
            taken, self._taken = self._taken, None
        if taken is not None:
            taken[0].call_soon_threadsafe(resolve, taken[1])
        return lines

    def close(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify()
