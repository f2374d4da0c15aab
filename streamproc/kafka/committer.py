"""Offsets: a partition's count of records that are written without a gap, every second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamproc.frontier import Frontier
from streamproc.interfaces import Sink
from streamproc.kafka import client, codes
from streamproc.kafka.host import Place
from streamproc.kafka.source import KafkaSource
from streamproc.record import Batch, Progress

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

INTERVAL_S = 1.0
_LAST_S = 10.0  # for the last word, which a broker may not answer
_LOOK_S = 3.0  # of these for one question
_AGAIN_S = 0.1


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


class OffsetCommitter:
    """A `ProgressTracker`: the group remembers how far it is."""

    keeps_rest = True

    def __init__(self, source: KafkaSource, *, in_transactions: bool) -> None:
        """`in_transactions`: they commit what is written; the end of a partition is left."""
        self._source = source
        self._in_transactions = in_transactions
        self._offsets: dict[int, _Offsets] = {}
        self._stopped = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    async def begin(self, sink: Sink, dead_letters: Sink | None) -> None:
        """See `ProgressTracker`."""

    def admit(self, batch: Batch) -> None:
        """See `ProgressTracker`."""
        if batch.lane not in self._offsets:
            self._offsets[batch.lane] = _Offsets()
        self._offsets[batch.lane].admit(batch)

    def written(self, batch: Batch, start: int, stop: int) -> None:
        """See `ProgressTracker`."""
        if batch.lane in self._offsets:
            self._offsets[batch.lane].frontier.written(batch, start, stop)

    def flushed(self) -> None:
        """See `ProgressTracker`."""
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
            await self._commit()

    async def settle(self) -> None:
        """See `ProgressTracker`: no message is an end that may grow, nothing is waited for."""

    def stop(self) -> None:
        """See `ProgressTracker`."""
        self._stopped.set()

    async def close(self, *, finished: bool) -> None:
        """Commit a last time."""
        await self._last_word(list(self._source.numbered), is_returning=False)

    async def drained(self, lanes: list[int]) -> None:
        """Until all that was admitted of `lanes` is written, and committed."""
        known = [self._offsets[lane] for lane in lanes if lane in self._offsets]
        while any(each.open_lines for each in known):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            await waiter
        await self._last_word(lanes, is_returning=True)

    def recalled(self, lane: int, lines: int) -> None:
        """The last `lines` that were admitted of it will not be written."""
        if lane in self._offsets:
            self._offsets[lane].recall(lines)

    def forget(self, lanes: list[int]) -> None:
        """They are gone."""
        for lane in lanes:
            self._offsets.pop(lane, None)
            if (gone := self._source.numbered.get(lane)) is not None and self._source.thread:
                self._source.thread.commits.confirmed.pop((gone.topic, gone.partition), None)

    async def _commit(self) -> None:
        """One after the other: librdkafka repeats what fails, and an older one could come last."""
        thread = self._source.thread
        if thread is None or thread.commits.unanswered or self._in_transactions:
            return  # it could overtake a transaction's offsets, too
        if places := self._places(list(self._source.numbered), confirmed=thread.commits.confirmed):
            try:
                await thread.submit(lambda: thread.commits.send(places, thread.assignment))
            except client.load().KafkaException as raised:
                self._warn(raised.args[0].str())

    async def _last_word(self, lanes: list[int], *, is_returning: bool) -> None:
        """Once more, and until the group has it. Who `is_returning` them hears no answers."""
        thread, places = self._source.thread, self._places(lanes, confirmed={})
        if thread is None or not places or not thread.is_alive():
            return
        commits, assignment = thread.commits, thread.assignment
        kafka, reason = client.load(), "no answer"

        def look() -> bool:
            return commits.send_and_look(places, assignment, _LOOK_S)

        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                while True:
                    error = None
                    if is_returning or not commits.unanswered:
                        try:
                            if await thread.submit(look):
                                return
                        except kafka.KafkaException as raised:
                            error = raised.args[0]
                    # the thread hears of it, or joins the group's next generation
                    await asyncio.sleep(_AGAIN_S)
                    if not commits.unanswered:
                        error = commits.error or error
                    if error is not None:
                        reason = error.str()
                        if codes.is_refusal(error):
                            break
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        client.log.warning("kafka: offsets were not committed: %s", reason)

    def _places(
        self, lanes: list[int], *, confirmed: Mapping[Place, int]
    ) -> dict[int, TopicPartition]:
        """By lane, what the broker has not confirmed yet."""
        places: dict[int, Any] = {}
        if self._source.settings.group is None:
            return places
        kind = client.load().TopicPartition
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
            if following > confirmed.get((lane.topic, lane.partition), -1):
                places[number] = kind(lane.topic, lane.partition, following)
        return places
