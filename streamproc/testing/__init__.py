"""Sources, sinks and enrichers for tests of your own stages.

>>> sink = MemorySink()
>>> await Pipeline([("score", score)]).run(MemorySource([{"n": 1}]), sink)
>>> sink.records
[{'n': 1, 'score': 2}]
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from streamproc.codec import decode, line_of
from streamproc.entering import Entered
from streamproc.fingerprint import Place
from streamproc.record import Batch, Cursor, Failed
from streamproc.types import CallResult, Record

__all__ = ["MemorySink", "MemorySource", "QueueSink", "ScriptedEnricher"]

_BATCH_LINES = 256


class MemorySource(Entered):
    """A source of `records`: dicts, or lines as str or bytes; async iterables too."""

    size_bytes: int | None = None
    lag: int | None = None

    def __init__(self, records: Iterable[object] | AsyncIterable[object], *, lane: int = 0) -> None:
        self._later = aiter(records) if isinstance(records, AsyncIterable) else None
        self._now: Iterator[Any] = iter(()) if isinstance(records, AsyncIterable) else iter(records)
        self._lane = lane
        self._line = 1
        self._offset = 0

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end."""
        if self._later is not None:
            found = [record async for record in _first(self._later)]
        else:
            await asyncio.sleep(0)  # before: what was taken is not lost by a cancellation
            found = list(islice(self._now, _BATCH_LINES))
        if not found:
            return None
        lines = [line_of(record) for record in found]
        n_bytes = sum(map(len, lines)) + len(lines)
        batch = Batch(self._lane, Cursor("<memory>", self._line, self._offset), lines, n_bytes)
        self._line += len(lines)
        self._offset += n_bytes
        return batch, None

    def receive_nowait(self) -> None:
        """Never: every batch is received at once."""
        return

    def residue(self) -> None:
        """Never: records in memory are whole."""
        return


async def _first(records: AsyncIterator[object]) -> AsyncIterator[object]:
    try:
        yield await anext(records)
    except StopAsyncIteration:
        return


class MemorySink(Entered):
    """A sink that keeps what it is given: `data`, `lines`, `records`."""

    name = "memory"
    place: Place | None = None
    takes_messages = False
    blocked_s = 0.0

    def __init__(self) -> None:
        self.data = b""
        self.written_bytes = 0

    async def write(self, data: bytes) -> None:
        """Keep `data`."""
        self.data += data
        self.written_bytes += len(data)

    @property
    def lines(self) -> list[bytes]:
        """The lines, without newline."""
        return self.data.split(b"\n")[:-1]

    @property
    def records(self) -> list[Record]:
        """The lines, parsed."""
        return [decode(line) for line in self.lines]


class QueueSink(Entered):
    """A sink whose lines are iterated while they are written; writing waits for the reader."""

    name = "stream"
    place: Place | None = None
    takes_messages = False
    blocked_s = 0.0

    def __init__(self) -> None:
        self.written_bytes = 0
        self._lines: deque[bytes] = deque()
        self._closed = False
        self._changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Wait until the reader has taken the lines before, then offer these."""
        while self._lines:
            self._changed.clear()
            await self._changed.wait()
        self._lines.extend(data.split(b"\n")[:-1])
        self.written_bytes += len(data)
        self._changed.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._lines:
                line = self._lines.popleft()
                if not self._lines:
                    self._changed.set()
                yield line
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


class ScriptedEnricher:
    """An async stage that answers by script: `answers[record[key]]`, else `default`.

    An answer that is an exception is raised, one that is a coroutine function is called
    with the record. `calls` are the records that it saw.
    """

    def __init__(
        self, key: str, answers: Mapping[object, object], default: Record | None = None
    ) -> None:
        self._key = key
        self._answers = answers
        self._default = default
        self.calls: list[dict[str, Any]] = []

    async def __call__(self, record: Record) -> CallResult:
        """The scripted answer to `record`."""
        self.calls.append(dict(record))
        answer = self._answers.get(record.get(self._key), self._default)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return await answer(record)
        return answer
