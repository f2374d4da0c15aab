"""Offsets: a partition's count of records that are written without a gap, every second."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from streamproc.frontier import Frontier
from streamproc.interfaces import Sink
from streamproc.kafka import client
from streamproc.kafka.source import KafkaSource
from streamproc.record import Batch, Progress

INTERVAL_S = 1.0
_LAST_S = 10.0


class _Offsets:
    """What may be committed of one lane. Counted, never computed: offsets have gaps."""

    def __init__(self) -> None:
        self.frontier = Frontier(Progress())
        self._batches: deque[tuple[int, Batch]] = deque()  # with the count of lines before it
        self._admitted = 0
        self.next = -1

    def admit(self, batch: Batch) -> None:
        self.frontier.admit(batch)
        self._batches.append((self._admitted, batch))
        self._admitted += len(batch)

    def recall(self, lines: int) -> None:
        self._admitted -= lines

    @property
    def open_lines(self) -> int:
        """Admitted and not written, or not without a gap before them."""
        return self._admitted - self.frontier.contiguous

    def move(self) -> None:
        """Look how far it is."""
        done = self.frontier.contiguous
        while self._batches:
            before, batch = self._batches[0]
            if done <= before:
                return
            self.next = batch.cursor.offset + min(done - before, len(batch))
            if done < before + len(batch):
                return
            self._batches.popleft()


class Committer:
    """A `Keeper`: the group remembers how far it is."""

    keeps_rest = True

    def __init__(self, source: KafkaSource, *, in_transactions: bool) -> None:
        """`in_transactions`: they commit what is written; the end of a partition is left."""
        self._source = source
        self._in_transactions = in_transactions
        self._offsets: dict[int, _Offsets] = {}
        self._stopped = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    async def begin(self, sink: Sink, dead_letters: Sink | None) -> None:
        """See `Keeper`."""

    def admit(self, batch: Batch) -> None:
        """See `Keeper`."""
        if batch.lane not in self._offsets:
            self._offsets[batch.lane] = _Offsets()
        self._offsets[batch.lane].admit(batch)

    def written(self, batch: Batch, start: int, stop: int) -> None:
        """See `Keeper`."""
        if batch.lane in self._offsets:
            self._offsets[batch.lane].frontier.written(batch, start, stop)

    def flushed(self) -> None:
        """See `Keeper`."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def run(self) -> None:
        """Commit every second."""
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await self._stopped.wait()
            await self._commit(list(self._source.numbered), wait=False)

    def stop(self) -> None:
        """See `Keeper`."""
        self._stopped.set()

    async def close(self, *, finished: bool) -> None:
        """Commit a last time."""
        await self._commit(list(self._source.numbered), wait=True)

    async def drained(self, lanes: list[int]) -> None:
        """Until all that was admitted of `lanes` is written, and committed."""
        known = [self._offsets[lane] for lane in lanes if lane in self._offsets]
        while any(each.open_lines for each in known):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            await waiter
        await self._commit(lanes, wait=True)

    def recalled(self, lane: int, lines: int) -> None:
        """The last `lines` that were admitted of it will not be written."""
        if lane in self._offsets:
            self._offsets[lane].recall(lines)

    def forget(self, lanes: list[int]) -> None:
        """They are gone."""
        for lane in lanes:
            self._offsets.pop(lane, None)
            if (gone := self._source.numbered.get(lane)) is not None and self._source.thread:
                self._source.thread.committed.pop((gone.topic, gone.partition), None)

    async def _commit(self, lanes: list[int], *, wait: bool) -> None:
        if self._source.settings.group is None or self._source.thread is None:
            return
        if self._in_transactions and not wait:  # it could overtake a transaction's offsets
            return
        from confluent_kafka import KafkaException, TopicPartition

        thread, places = self._source.thread, dict[int, Any]()
        for number, lane in self._source.numbered.items():
            if number not in lanes:
                continue
            offsets = self._offsets.setdefault(number, _Offsets())
            offsets.move()
            following = offsets.next
            if following == lane.following:  # all that ever came is written, wherever it waited
                following = max(following, lane.end_offset)  # past control records
            if self._in_transactions and following == offsets.next:
                continue
            # said again until the broker confirms it, and as the last word once more
            confirmed = -1 if wait else thread.committed.get((lane.topic, lane.partition), -1)
            if following > confirmed:
                places[number] = TopicPartition(lane.topic, lane.partition, following)
        if not places or not thread.is_alive():
            return

        def commit() -> None:
            thread.assignment.look()
            ours = [each for number, each in places.items() if number in thread.assignment.numbers]
            if ours:
                thread.consumer.commit(offsets=ours, asynchronous=not wait)

        try:
            async with asyncio.timeout(_LAST_S):
                await thread.submit(commit)
        except TimeoutError:
            client.log.warning("kafka: the last offsets could not be committed: no answer")
        except KafkaException as error:
            client.log.warning("kafka: offsets were not committed: %s", error.args[0].str())
