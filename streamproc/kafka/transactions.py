"""Exactly once, Kafka to Kafka: output, dead letters and offsets become visible together.

KIP-98 and KIP-447. What is finished stays in memory until its transaction has committed: after
an abort the same bytes are produced again, and no stage is called twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from streamproc.errors import StreamprocError, UnavailableError
from streamproc.kafka import client
from streamproc.kafka.outgoing import Group, Outgoing, Spans
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.kafka.sink import KafkaSink
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.thread import KafkaThread
from streamproc.record import Batch

TIMEOUT_MS = 15_000
_CALL_S = 5.0  # of one call, which the broker may not answer; then it is called again
_BACK_OFF_S, _LONGEST_S = 0.1, 5.0
_FENCED_S, _FENCED = 300.0, 3  # so often in that time: somebody else has our name


class NotOursError(Exception):
    """A partition with output in the transaction went elsewhere."""


class TransactionalSink(KafkaSink):
    """A `KafkaSink` whose receipts are done when their transaction has committed."""

    def __init__(
        self, settings: KafkaSinkSettings, source: KafkaSource, *, connect_timeout_s: float
    ) -> None:
        group, instance = source.settings.group, source.settings.instance
        name = f"streamproc-{group}-{instance or uuid4()}"
        config = {
            "transactional.id": name,
            "transaction.timeout.ms": TIMEOUT_MS,
            # else offsets are sent for ever to a coordinator that is no more: librdkafka #5511
            "metadata.recovery.strategy": "none",
        }
        super().__init__(settings, connect_timeout_s=connect_timeout_s, config=config)
        self._source = source
        self._open: list[Group] = []  # of the transaction
        self._lock = asyncio.Lock()  # nothing is produced while it commits
        # by batch and line number, what a broker refused: together with others, and alone
        self._suspects: set[tuple[int, int]] = set()
        self._refused: set[tuple[int, int]] = set()
        self._fences: deque[float] = deque()
        self._broken: BaseException | None = None  # why nothing is committed any more
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._thread.do_all(self._begin_steps(), is_patient=False)
        except self._kafka.KafkaException as error:
            refusal = self._voice.refusal or error.args[0]
            raise self._as_ours(refusal) from None
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
            with suppress(Exception):  # there may be no broker, and no transaction
                await self._thread.submit(self._abort_step)
        await super().__aexit__(kind, error, traceback)

    def _as_ours(self, error: Any) -> StreamprocError:
        instance = self._source.settings.instance
        return client.as_ours(error, self.name, is_sink=True, instance=instance)

    async def send(self, spans: Spans) -> asyncio.Future[None]:
        """See `MessageSink`."""
        async with self._lock:  # a lane may have gone elsewhere while we waited for it
            self._check()
            try:
                return await super().send([span for span in spans if not span[0].is_dropped])
            except BaseException as error:
                self._break(error)
                raise

    async def flush(self) -> None:
        """Commit now."""
        await self._commit()

    def _begin(self, spans: Spans) -> Group:
        group = super()._begin(spans)
        if spans:
            self._open.append(group)
        return group

    def _completed(self, group: Group) -> None:
        """All is reported; what that is worth is known when the transaction ends."""
        self._groups.discard(group)
        if not group.spans and not group.receipt.done():
            group.receipt.set_result(None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.settings.transaction_interval)
            await self._commit()

    async def _commit(self) -> None:
        async with self._lock:
            if self._open:
                try:
                    await self._commit_open()
                except BaseException as error:
                    self._break(error)
                    if not isinstance(error, Exception):
                        raise

    def _break(self, error: BaseException) -> None:
        """What is open is not whole: it is never committed, nor what would come after it."""
        if isinstance(error, self._kafka.KafkaException):
            error = self._as_ours(error.args[0])
        self._broken = self._broken or error
        groups, self._open = self._open, []
        for group in groups:
            if not isinstance(error, Exception):
                group.receipt.cancel()
            elif not group.receipt.done():
                group.receipt.set_exception(error)

    def _check(self) -> None:
        if isinstance(self._broken, Exception):
            raise self._broken
        if self._broken is not None:
            raise UnavailableError(f"{self.name}: the transaction was given up")

    async def _commit_open(self) -> None:
        wait_s = _BACK_OFF_S
        while True:
            error: Any = None
            try:
                if any(batch.is_dropped for batch, _, _ in self._spans()):
                    raise NotOursError
                self._check_letters()
                await self._thread.do_all(self._commit_steps(self._offsets()))
                break
            except NotOursError:
                client.log.debug("kafka: transaction: partitions went elsewhere")
            except self._kafka.KafkaException as raised:
                error = raised.args[0]
                if client.is_refusal(error):
                    raise
            while not await self._begin_again(error):
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_S)
            await self._redo()
        groups, self._open = self._open, []
        self._suspects.clear()
        self._refused.clear()
        for group in groups:
            group.receipt.set_result(None)

    async def _begin_again(self, error: Any) -> bool:
        """Abort what is open, or take another producer; False: once more."""
        if error is not None:
            client.log.debug("kafka: transaction: %s", error.str())
        try:
            if error is not None and error.fatal():
                await self._replace_producer(error)
            else:
                await self._abort()
        except self._kafka.KafkaException as raised:
            if raised.args[0].fatal():
                await self._replace_producer(raised.args[0])
            else:
                client.log.debug("kafka: transaction: %s", raised.args[0].str())
                return False
        return True

    def _spans(self) -> Iterable[tuple[Batch, int, int]]:
        return [span for group in self._open for span in group.spans]

    def _offsets(self) -> list[Any]:
        """Counted per lane: `position()` would cover what is still in flight."""
        following: dict[tuple[str, int], int] = {}
        for batch, _, stop in self._spans():
            lane = self._source.numbered[batch.lane]
            place = lane.topic, lane.partition
            following[place] = max(following.get(place, -1), batch.cursor.offset + stop)
        return [self._kafka.TopicPartition(*place, offset) for place, offset in following.items()]

    def _check_letters(self) -> None:
        for group in self._open:
            for message, reason in group.refused:
                if isinstance(reason, str):  # nothing is left that could be sent instead
                    raise self._unheard(message, reason)

    async def _send_one(self, group: Group, message: Outgoing) -> None:
        place = id(message.batch), message.i
        if place in self._refused and not message.is_last_word:
            instead = self._instead(message, "by the broker")
            if instead is not None:
                await self._try_alone(group, instead)
        elif place in self._suspects:
            await self._try_alone(group, message)
        else:
            await super()._send_one(group, message)

    async def _try_alone(self, group: Group, message: Outgoing) -> None:
        """Without neighbours, which are refused together with it."""
        await self._reports.flush(_CALL_S)
        alone = await self._send_alone(message)
        place = id(message.batch), message.i
        if not alone.refused:
            self._suspects.discard(place)
            return
        group.refused += alone.refused
        error = alone.refused[0][1]
        if isinstance(error, str) or error.code() in self._faults:
            if message.is_last_word:
                raise self._unheard(message, str(error))
            self._suspects.discard(place)
            self._refused.add(place)

    async def _redo(self) -> None:
        """The same bytes once more, without those of lanes that are somebody else's now."""
        before, self._open = self._open, []
        for message, error in [each for old in before for each in old.refused]:
            if not isinstance(error, str) and error.code() in self._faults:
                self._suspects |= {(id(message.batch), message.i)} - self._refused
        for old in before:
            spans = [span for span in old.spans if not span[0].is_dropped]
            new = Group(spans, self._completed)
            new.receipt = old.receipt
            self._open.append(new)
            await self._produce_all(new)

    async def _abort(self) -> None:
        await self._thread.do_all([self._abort_step, self.producer.begin_transaction])

    # In the Kafka thread

    @property
    def _thread(self) -> KafkaThread:
        assert self._source.thread is not None
        return self._source.thread

    def _commit_steps(self, offsets: list[Any]) -> list[Callable[[], None]]:
        metadata: list[Any] = []  # of the first try: a later generation is not that of the records

        def send_offsets() -> None:
            thread = self._thread
            if not thread.assignment.owns({(each.topic, each.partition) for each in offsets}):
                raise NotOursError
            if not metadata:
                metadata.append(thread.consumer.consumer_group_metadata())
            self.producer.send_offsets_to_transaction(offsets, metadata[0], _CALL_S)

        def commit() -> None:
            self.producer.commit_transaction(_CALL_S)

        return [send_offsets, commit, self.producer.begin_transaction]

    def _abort_step(self) -> None:
        self.producer.abort_transaction(_CALL_S)

    def _begin_steps(self) -> list[Callable[[], None]]:
        if self.letters is not None:
            self.letters.producer = self.producer

        def init() -> None:
            self.producer.init_transactions(self._connect_timeout_s)

        return [init, self.producer.begin_transaction]

    async def _replace_producer(self, error: Any) -> None:
        """Fenced: by another instance of our name, or because the transaction was too long."""
        if self._source.settings.instance is not None:
            raise self._as_ours(error)
        now = time.monotonic()
        self._fences.append(now)
        while self._fences[0] < now - _FENCED_S:
            self._fences.popleft()
        if len(self._fences) > _FENCED:
            raise UnavailableError(f"{self.name}: {len(self._fences)} times fenced: {error.str()}")
        self.producer = self._new_producer()
        await self._thread.do_all(self._begin_steps())
