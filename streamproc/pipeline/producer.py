"""Source → channel: reads as far as the window allows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterable

from streamproc.interfaces import Keeper, Source
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.reorder import Reorder
from streamproc.pipeline.window import Window
from streamproc.record import BLANK_NOTE, SKIPPED_NOTE, WHITESPACE, Batch, Failed, Note, Tally

Refuse = Callable[[Failed, Batch, int], Note]


class Producer:
    """Reads batches and admits them. `refuse` turns a line that failed at birth into a note.

    `done` are spans of lines, from the first one on, that an earlier run has done.
    """

    def __init__(
        self,
        source: Source,
        window: Window,
        channel: Channel,
        reorder: Reorder,
        tally: Tally,
        refuse: Refuse,
        keeper: Keeper | None = None,
        done: Iterable[tuple[int, int]] = (),
    ) -> None:
        self._source = source
        self._window = window
        self._channel = channel
        self._reorder = reorder
        self._tally = tally
        self._refuse = refuse
        self._keeper = keeper
        self._done = Done(done)
        self._stopping = False
        self._receiving: asyncio.Task[None] | None = None
        self._rest: tuple[Batch, Failed | None] | None = None  # received and not admitted yet

    async def run(self) -> None:
        """Until the end of input, or `stop`. Raises `InputError`."""
        try:
            while received := await self._receive():
                batch, failed = received
                self._count(batch)
                await self._admit(batch, failed)
        finally:
            self._channel.close()

    def stop(self) -> None:
        """Read no more. What was read is still admitted; a blocked read delays nothing."""
        self._stopping = True
        if self._receiving is not None:
            self._receiving.cancel()

    @property
    def has_rest(self) -> bool:
        """Whether lines were received and not admitted yet."""
        return self._rest is not None

    def admit_rest(self) -> None:
        """After an abort: all that was read gets its place, to be accounted for."""
        while True:
            while self._rest is not None:
                self._place(len(self._rest[0]))
            self._rest = self._source.receive_nowait()
            if self._rest is None:
                return
            self._count(self._rest[0])

    async def _receive(self) -> tuple[Batch, Failed | None] | None:
        if self._stopping:
            return self._source.receive_nowait()
        task = asyncio.current_task()
        self._receiving = task
        try:
            return await self._source.receive()
        except asyncio.CancelledError:
            if not self._stopping or task is None or task.uncancel():
                raise
            return self._source.receive_nowait()
        finally:
            self._receiving = None

    async def _admit(self, batch: Batch, failed: Failed | None) -> None:
        self._rest = batch, failed
        while self._rest is not None:
            batch, failed = self._rest
            count = 0 if failed is not None else batch.n_bytes
            self._channel.hold_up(not self._window.has_room(len(batch), count))
            room = await self._window.reserve(len(batch), count)
            self._channel.hold_up(False)
            if self._rest is None:
                return  # its lane was dropped meanwhile
            head = self._place(room)
            if head is not None:
                await self._channel.send(head)

    def drop(self, lanes: Container[int]) -> Batch | None:
        """Admit no more of these; returns what was received of them and not admitted."""
        if self._rest is None or self._rest[0].lane not in lanes:
            return None
        (batch, _), self._rest = self._rest, None
        return batch

    def _place(self, room: int) -> Batch | None:
        """Admit the first lines of the rest; returns them if there is work on them."""
        assert self._rest is not None
        batch, failed = self._rest
        count, is_done = self._done.next(min(room, len(batch)))
        head, rest = batch.cut(count)
        self._rest = None if rest is None else (rest, failed)
        self._window.admit(len(head), head.n_bytes, head.lane)
        if self._keeper is not None:
            self._keeper.admit(head)
        self._reorder.admit(head)
        if is_done:
            # a too-long line is b"" here, and no blank one
            blank = {i for i, line in enumerate(head.lines)
                     if failed is None and not line.strip(WHITESPACE)}  # fmt: skip
            notes = {i: BLANK_NOTE if i in blank else SKIPPED_NOTE for i in range(count)}
            self._reorder.finish_run(head, 0, [b""] * count, notes)
        elif failed is not None:
            note = self._refuse(failed, head, 0)
            self._reorder.finish(head, 0, note.line, note)
        else:
            return head
        return None

    def _count(self, batch: Batch) -> None:
        self._tally.lines += len(batch)
        self._tally.bytes_in += batch.n_bytes


class Done:
    """Lines that an earlier run has done, as spans of line numbers from here on."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._spans = deque(spans)
        self._at = 0

    def next(self, count: int) -> tuple[int, bool]:
        """How many of the next `count` lines are of one kind, and whether they are done."""
        is_done = False
        if self._spans:
            start, stop = self._spans[0]
            is_done = start <= self._at
            count = min(count, (stop if is_done else start) - self._at)
            self._at += count
            if self._at == stop:
                self._spans.popleft()
        return count, is_done
