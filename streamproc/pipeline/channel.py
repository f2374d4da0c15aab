"""The hand-over from the producer to the consumers, written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from streamproc.record import Batch
from streamproc.waiting import Turns


class Channel:
    """Batches go in, lines come out: each to one consumer, in order.

    Batches wait in a bounded `asyncio.Queue`. Taking a line is synchronous, so a
    consumer that never waits pays no await per line. A batch wakes two waiters, and each
    that finds more than it can take wakes two more: one consumer that never waits leaves
    the others asleep, slow calls have all of them at work within a few turns of the loop.
    """

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[Batch] = asyncio.Queue(limit)
        self._batch: Batch
        self._next = 0
        self._size = 0
        self._turns = Turns()
        self._closed = False
        self._is_held_up = False
        self._hear_dry: Callable[[], None] = lambda: None

    @property
    def is_dry(self) -> bool:
        """See `Work`."""
        is_empty = self._next == self._size and self._queue.empty()
        return is_empty and (self._closed or self._is_held_up)

    def on_dry(self, call: Callable[[], None]) -> None:
        """See `Work`."""
        self._hear_dry = call

    def hold_up(self, is_held_up: bool) -> None:
        """Whether nothing can be sent before lines that were taken are done."""
        self._is_held_up = is_held_up
        if self.is_dry:
            self._hear_dry()

    async def send(self, batch: Batch) -> None:
        """Queue a batch; waits while the queue is full."""
        await self._queue.put(batch)
        self._turns.wake(2)

    def send_nowait(self, batch: Batch) -> None:
        """Queue a batch; only if the channel has no limit."""
        self._queue.put_nowait(batch)
        self._turns.wake(2)

    def close(self) -> None:
        """No more batches; waiters see the end when everything is taken."""
        self._closed = True
        self._turns.wake(len(self._turns))
        if self.is_dry:
            self._hear_dry()

    def take(self, most: int = 1) -> tuple[Batch, int, int] | None:
        """See `Work`."""
        start = self._next
        if start == self._size:
            if not self._next_batch():
                return None
            start = 0
        stop = start + most
        self._next = stop = stop if stop < self._size else self._size
        return self._batch, start, stop

    def give_back(self, count: int) -> None:
        """See `Work`."""
        self._next -= count

    def _next_batch(self) -> bool:
        while not self._queue.empty():
            batch = self._queue.get_nowait()
            if not batch.is_dropped:
                batch.is_begun = True
                self._batch, self._size, self._next = batch, len(batch), 0
                return True
        return False

    def recall(self, lanes: Container[int]) -> tuple[int, int]:
        """Give nothing more of the batch in hand if it is of these: its lane, lines not given."""
        if self._next == self._size or self._batch.lane not in lanes:
            return 0, 0
        left, self._size = self._size - self._next, self._next
        return self._batch.lane, left

    async def wait(self) -> bool:
        """Wait until there may be a line to take; False at the end of input."""
        if self._next == self._size and self._queue.empty():
            if self._closed:
                return False
            await self._turns.wait()
            if self._size - self._next > 1 or not self._queue.empty():
                self._turns.wake(2)
        return True

    async def receive(self) -> Batch | None:
        """The next whole batch, None at the end of input."""
        while (taken := self.take()) is None:
            if not await self.wait():
                return None
        self._next = self._size
        return taken[0]
