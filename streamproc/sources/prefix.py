"""The running hash of what came through a pipe: how a run recognises it when it goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from streamproc.fingerprint import PipeMark

if TYPE_CHECKING:
    from hashlib import _Hash

_JOB_BYTES = 512 * 1024  # for one thread hand-over, which costs as much as to hash 64 KiB


class _Piece(NamedTuple):
    chunk: bytes
    cut: int  # bytes of it that stand before the place
    offset: int
    line: int


class Prefix:
    """Hashes in a thread, beside the work on the lines.

    A hash cannot be taken back, so a copy of it is kept at every place where the run might
    go on, until the next one is behind the frontier.
    """

    def __init__(self) -> None:
        from hashlib import sha256

        self._hash = sha256()
        self._places: deque[tuple[int, int, _Hash]] = deque([(0, 1, self._hash.copy())])
        self._pieces: list[_Piece] = []
        self._bytes = 0
        self._job: asyncio.Future[None] | None = None
        self.offset = 0  # of all that was fed
        self._last = 0

    async def feed(self, chunk: bytes, offset: int, line: int) -> None:
        """More bytes; `line` begins at `offset`, and all before it is whole lines."""
        self.offset += len(chunk)
        cut = len(chunk) - (self.offset - offset) if offset > self._last else -1
        self._last = offset
        self._pieces.append(_Piece(chunk, cut, offset, line))
        self._bytes += len(chunk)
        if self._bytes >= _JOB_BYTES:
            await self._hand_over()

    async def mark(self, offset: int) -> tuple[PipeMark, int]:
        """The last place that is not behind `offset`, and the line there."""
        await self._hand_over()
        await self._finish()
        while len(self._places) > 1 and self._places[1][0] <= offset:
            self._places.popleft()
        at, line, hashed = self._places[0]
        return PipeMark(at, hashed.hexdigest()), line

    async def _hand_over(self) -> None:
        await self._finish()
        pieces, self._pieces, self._bytes = self._pieces, [], 0
        if pieces:
            loop = asyncio.get_running_loop()
            self._job = loop.run_in_executor(None, self._consume, pieces)

    async def _finish(self) -> None:
        # whoever waited beside us may have begun another one: two would mix up the hash
        while (job := self._job) is not None and not job.done():
            await asyncio.wait({job})  # to cancel who waits does not cancel the job

    def _consume(self, pieces: list[_Piece]) -> None:
        place: tuple[int, int, _Hash] | None = None
        for chunk, cut, offset, line in pieces:
            if cut < 0:
                self._hash.update(chunk)
                continue
            view = memoryview(chunk)
            self._hash.update(view[:cut])
            place = (offset, line, self._hash.copy())
            self._hash.update(view[cut:])
        if place is not None:
            self._places.append(place)  # one for each job is enough
