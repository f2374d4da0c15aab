"""Records of a plain iterable, which may take its time: a generator, an open file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from streamproc.codec import line_of
from streamproc.record import Batch, Cursor, Failed
from streamproc.waiting import resolve

_MOST_READY = 1024  # records that are taken and not received


class IterableSource:
    """Takes `records` in a thread, no further ahead than it is read: it may block.

    What `records` raises, `receive` raises. A thread that still waits for the next record
    when the run is over is left alone, and takes no more.
    """

    size_bytes: int | None = None
    lag: int | None = None

    def __init__(self, records: Iterable[object]) -> None:
        self._records: Iterator[Any] = iter(records)
        self._ready: list[bytes] = []
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._line = 1
        self._offset = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._take, name="records", daemon=True).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end."""
        assert self._loop is not None
        while True:
            with self._changed:
                lines, self._ready = self._ready, []
                self._changed.notify_all()
                if not lines and self._error is not None:
                    raise self._error
                if not lines and self._ended:
                    return None
                waiter = self._waiter = None if lines else self._loop.create_future()
            if waiter is None:
                return self._batch(lines), None
            await waiter

    def receive_nowait(self) -> tuple[Batch, Failed | None] | None:
        """What was taken already."""
        with self._changed:
            lines, self._ready = self._ready, []
        return (self._batch(lines), None) if lines else None

    def residue(self) -> None:
        """Never: records are whole."""
        return

    def _batch(self, lines: list[bytes]) -> Batch:
        n_bytes = sum(map(len, lines)) + len(lines)
        batch = Batch(0, Cursor("<records>", self._line, self._offset), lines, n_bytes)
        self._line += len(lines)
        self._offset += n_bytes
        return batch

    def _take(self) -> None:
        try:
            for record in self._records:
                line = line_of(record)
                with self._changed:
                    while len(self._ready) >= _MOST_READY and not self._left:
                        self._changed.wait()
                    if self._left:
                        break
                    self._ready.append(line)
                    self._wake()
            if self._left and isinstance(self._records, Generator):
                self._records.close()  # a file is whose it was
        except BaseException as error:  # `receive` raises it
            self._error = error
        with self._changed:
            self._ended = True
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(resolve, waiter)
