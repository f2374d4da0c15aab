"""Finished lines → messages, which are counted and give credits back once acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator

from streamproc.counters import RunCounters
from streamproc.interfaces import UNOBSERVED, MessageSink, ProgressTracker, RunObserver, Sink
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.reorder import ReorderBuffer, Span
from streamproc.pipeline.writer import Writer
from streamproc.record import Batch, dead_letters

_MOST_GROUPS = 64  # sent and not acknowledged


class MessageWriter(Writer):
    """A `Writer` whose sink takes records one by one, and says later that it has them."""

    def __init__(
        self,
        reorder: ReorderBuffer,
        window: CreditLimit,
        sink: MessageSink,
        dead_letters: Sink | None,
        tally: RunCounters,
        keeper: ProgressTracker | None = None,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        super().__init__(reorder, window, sink, dead_letters, tally, keeper, observer)
        self._messages = sink
        self._sending: list[Span] = []
        self._sent: dict[asyncio.Future[None], list[Span]] = {}
        self._room: asyncio.Future[None] | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Raises what the sink raises; then `leftovers` tells what is not acknowledged."""
        while spans := await self._reorder.receive():
            self._sending = spans
            await self._write_dead_letters(spans)
            receipt = await self._messages.send(spans)
            self._sent[receipt], self._sending = spans, []
            receipt.add_done_callback(self._acknowledged)
            await self._until(_MOST_GROUPS)
        await self._messages.flush()
        await self._until(1)

    async def _until(self, fewer_than: int) -> None:
        while len(self._sent) >= fewer_than or self._failed.done():
            if self._failed.done():
                self._failed.result()
            self._room = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._room, self._failed}, return_when=asyncio.FIRST_COMPLETED)

    async def _write_dead_letters(self, spans: list[Span]) -> None:
        """Dead letters into a file; those of a topic go with the messages."""
        if self._dead_letters is None or self._dead_letters.takes_messages:
            return
        dead = [letter for _, _, letter in dead_letters(spans)]
        if dead:
            await self._dead_letters.write(b"\n".join(dead) + b"\n")

    def _acknowledged(self, receipt: asyncio.Future[None]) -> None:
        if receipt.cancelled():
            return
        if error := receipt.exception():
            if not self._failed.done():
                self._failed.set_exception(error)
                self._failed.exception()  # it may come after the end
                self._reorder.interrupt(error)
            return
        spans = self._sent.pop(receipt, [])  # it may come too late: see `leftovers`
        for span in spans:
            self._count(span)
        if self._observer.is_told_of_writes:
            self._tell_written(spans)
        if self._keeper is not None:
            self._keeper.flushed()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def drop(self, lanes: Container[int]) -> list[Batch]:
        """These lanes are somebody else's: what was sent of them and not acknowledged, too."""
        dropped = []
        for spans in (self._sending, *self._sent.values()):
            for span in spans:
                if span.batch.lane in lanes and not span.batch.is_dropped:
                    span.batch.is_dropped = True
                    dropped.append(span.batch)
        return dropped

    def leftovers(self) -> Iterator[tuple[Batch, int]]:
        """Lines that were sent and not acknowledged; what is acknowledged later is not counted."""
        sent, self._sent = self._sent, {}
        for spans in (*sent.values(), self._sending):
            for batch, start, stop in spans:
                if not batch.is_dropped:
                    yield from ((batch, i) for i in range(start, stop))
