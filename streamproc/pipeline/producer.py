"""Source → channel: reads as far as the window allows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from streamproc.counters import RunCounters
from streamproc.interfaces import UNOBSERVED, ProgressTracker, RunObserver, Source
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.reorder import ReorderBuffer
from streamproc.pipeline.selection import Selection
from streamproc.record import BLANK_NOTE, SKIPPED_NOTE, WHITESPACE, Batch, Failed, Note

Refuse = Callable[[Failed, Batch, int], Note]


class Received(NamedTuple):
    """Lines that were received. `failed`: one line that is none; `passed`: see `Selection`."""

    batch: Batch
    failed: Failed | None
    passed: bytes = b""


class Producer:
    """Reads batches and admits them. `refuse` turns a line that failed at birth into a note.

    `done` are spans of lines, from the first one on, that an earlier run has done. What
    `selection` passes over is no work: in a batch that has some, these lines are blank. When
    it is full, nothing more is read.
    """

    def __init__(
        self,
        source: Source,
        window: CreditLimit,
        channel: Channel,
        reorder: ReorderBuffer,
        tally: RunCounters,
        refuse: Refuse,
        keeper: ProgressTracker | None = None,
        done: Iterable[tuple[int, int]] = (),
        selection: Selection | None = None,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        self._source = source
        self._window = window
        self._channel = channel
        self._reorder = reorder
        self._tally = tally
        self._refuse = refuse
        self._keeper = keeper
        self._done = Done(done)
        self._selection = selection
        self._observer = observer
        self._stopping = False
        self._receiving: asyncio.Task[None] | None = None
        self._rest: deque[Received] = deque()  # received of one lane, and not admitted yet

    async def run(self) -> None:
        """Until the end of input, or `stop`. Raises `InputError`."""
        try:
            while not self.is_full and (received := await self._receive()):
                self._take(*received)
                await self._admit()
        finally:
            self._channel.close()

    def stop(self) -> None:
        """Read no more. What was read is still admitted; a blocked read delays nothing."""
        self._stopping = True
        if self._receiving is not None:
            self._receiving.cancel()

    @property
    def is_full(self) -> bool:
        """Whether no more records are wanted."""
        return self._selection is not None and self._selection.is_full

    @property
    def has_rest(self) -> bool:
        """Whether lines were received and not admitted yet."""
        return bool(self._rest)

    def admit_rest(self) -> None:
        """After an abort: all that was read gets its place, to be accounted for."""
        while True:
            while self._rest:
                self._place(len(self._rest[0].batch))
            received = None if self.is_full else self._source.receive_nowait()
            if received is None:
                return
            self._take(*received)

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

    def _take(self, batch: Batch, failed: Failed | None) -> None:
        """Count what was received. What is past a limit was not."""
        passed = b""
        if self._selection is not None:
            passed = self._selection.passed(batch.lines if failed is None else [b"-"])
            batch, _ = batch.cut(len(passed))
        self._rest.append(Received(batch, failed, passed))
        self._tally.lines += len(batch)
        self._tally.bytes_in += batch.n_bytes
        self._observer.read(batch)

    async def _admit(self) -> None:
        while self._rest:
            batch, failed, _ = self._rest[0]
            count = 0 if failed is not None else batch.n_bytes
            self._channel.hold_up(not self._window.has_room(len(batch), count))
            room = await self._window.reserve(len(batch), count)
            self._channel.hold_up(False)
            if not self._rest:
                return  # its lane was dropped meanwhile
            head = self._place(room)
            if head is not None:
                await self._channel.send(head)

    def drop(self, lanes: Container[int]) -> list[Batch]:
        """Admit no more of these; returns what was received and not admitted."""
        if not self._rest or self._rest[0].batch.lane not in lanes:
            return []
        for batch, _, passed in self._rest:
            batch.pass_over(passed)
        dropped = [received.batch for received in self._rest]
        self._rest.clear()
        return dropped

    def _place(self, room: int) -> Batch | None:
        """Admit the first lines of the rest; returns them if there is work on them."""
        batch, failed, passed = self._rest.popleft()
        count, is_done = self._done.next(min(room, len(batch)))
        head, rest = batch.cut(count)
        if rest is not None:
            self._rest.appendleft(Received(rest, failed, passed[count:]))
        self._window.admit(len(head), head.n_bytes, head.lane)
        if self._keeper is not None:
            self._keeper.admit(head)
        self._reorder.admit(head)
        head.pass_over(passed[:count])
        if is_done or (head.passed and 0 not in head.passed):
            # a line that failed at birth is empty here, and no blank one
            lines = enumerate(head.lines if failed is None else ())
            blank = {i for i, line in lines if not line.strip(WHITESPACE)}
            notes = {i: BLANK_NOTE if i in blank else SKIPPED_NOTE for i in range(count)}
            self._reorder.finish_run(head, 0, [b""] * count, notes)
        elif failed is not None:
            note = self._refuse(failed, head, 0)
            self._reorder.finish(head, 0, note.line, note)
        else:
            return head
        return None


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
