"""Exactly once, Kafka to Kafka: output, dead letters and offsets become visible together.

KIP-98 and KIP-447. What is finished stays in memory until its transaction has committed: after
an abort the same bytes are produced again, and no stage is called twice. `exactly_once` says what
is done when, and why; this does it.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from streamproc.errors import StreamprocError, UnavailableError
from streamproc.interfaces import SinkScope
from streamproc.kafka import client
from streamproc.kafka.calls import TransactionCalls
from streamproc.kafka.exactly_once import (
    FailedCallError,
    Fences,
    KafkaCall,
    NotOursError,
    SilentCallError,
    Then,
    worst_of,
)
from streamproc.kafka.lane import offsets_after
from streamproc.kafka.outgoing import Group, Outgoing, Spans
from streamproc.kafka.output_topic import Asking
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.kafka.sink import KafkaSink
from streamproc.kafka.source import KafkaSource

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

TIMEOUT_MS = 15_000  # of a transaction, besides the time for which it is open on purpose
_FLUSH_S, _LEAVE_S = 5.0, 10.0
_BACK_OFF_S, _LONGEST_S, _LOOK_S = 0.1, 5.0, 0.1
_ASK_S = 5.0  # nothing is committed meanwhile, nor seen that the producer hears of no brokers
_MOST_OPEN = 32  # groups: who sends them waits for some to be acknowledged
_HEARTBEATS = 1.5  # in this time the consumer of a name that another one has is told so


class TransactionalSink(KafkaSink):
    """A `KafkaSink` whose receipts are done when their transaction has committed."""

    _asks_for_brokers = False  # the source does, and knows better than a producer that lost them

    def __init__(self, settings: KafkaSinkSettings, scope: SinkScope, source: KafkaSource) -> None:
        group, instance = source.settings.group, source.settings.instance
        name = f"streamproc-{group}-{instance or uuid4()}"
        timeout_ms = TIMEOUT_MS + int(settings.transaction_interval * 1000)
        config = {"transactional.id": name, "transaction.timeout.ms": timeout_ms}
        super().__init__(settings, scope, config)
        self._asking = Asking(_ASK_S)
        if self._letters is not None:
            self._letters.borrow_from(self)
        self._source = source
        self._connect_timeout_s = connect_timeout_s = scope.connect_timeout_s
        self._calls = TransactionCalls(source, connect_timeout_s, timeout_ms / 1000)
        self._open: list[Group] = []  # of the transaction
        self._lock = asyncio.Lock()  # nothing is produced while it commits
        # by batch and line number, what a broker refused: together with others, and alone
        self._suspects: set[tuple[int, int]] = set()
        self._refused: set[tuple[int, int]] = set()
        self._fences = Fences()
        self._broken: BaseException | None = None  # why nothing is committed any more
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            until_s = asyncio.get_running_loop().time() + self._connect_timeout_s
            await self._calls.begin_with(self.producer, until_s=until_s)
        except FailedCallError as failed:
            raise self._as_ours(self._broker_monitor.refusal or failed.error) from None
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
                async with asyncio.timeout(_LEAVE_S):
                    await self._calls.abort_once()
            self._calls.close()
        await super().__aexit__(kind, error, traceback)

    def _as_ours(self, error: KafkaError) -> StreamprocError:
        name = self._source.settings.instance
        return client.map_error(error, self.name, is_sink=True, instance=name)

    async def send(self, spans: Spans) -> asyncio.Future[None]:
        """See `MessageSink`."""
        async with self._lock:  # a lane may have gone elsewhere while we waited for it
            if isinstance(self._broken, Exception):
                raise self._broken
            if self._broken is not None:
                raise UnavailableError(f"{self.name}: the transaction was given up")
            try:
                return await super().send(self._ours(spans))
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
        if not group.spans:
            self.accept(group)

    async def _tick(self) -> None:
        """Commit in time, and at once when somebody waits for it."""
        loop, interval_s = asyncio.get_running_loop(), self.settings.transaction_interval
        due_s = loop.time() + interval_s
        while True:
            await asyncio.sleep(min(_LOOK_S, max(0.0, due_s - loop.time())))
            is_awaited = self._source.is_leaving or len(self._open) >= _MOST_OPEN
            if is_awaited or loop.time() >= due_s:
                await self._commit()
                due_s = loop.time() + interval_s

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
        if isinstance(error, FailedCallError):
            error = self._as_ours(error.error)
        self._broken = self._broken or error
        groups, self._open = self._open, []
        for group in groups:
            if not isinstance(error, Exception):
                group.receipt.cancel()
            elif not group.receipt.done():
                group.receipt.set_exception(error)
                group.receipt.exception()  # who sends the last one hears of it from `send`

    async def _commit_open(self) -> None:
        wait_s = 0.0
        while self._open:
            failed: FailedCallError | None = None
            try:
                await asyncio.sleep(wait_s)
                wait_s = min(max(_BACK_OFF_S, wait_s * 2), _LONGEST_S)
                failure = self._check_whole()
                following = offsets_after(self._spans(), self._source.numbered)
                numbers = {batch.lane for batch, _, _ in self._spans()}
                await self._calls.commit(following, numbers, failure)
                self._committed()
                return
            except NotOursError:
                client.log.debug("kafka: transaction: partitions went elsewhere")
            except FailedCallError as raised:
                client.log.debug("kafka: transaction: %s", raised)
                failed = raised
            if failed is not None and failed.call is KafkaCall.BEGIN:
                self._committed()
            self._asking.end()
            await self._begin_again(failed)
            if failed is not None and await self._was_committed(failed):
                self._committed()
            await self._redo()

    def _committed(self) -> None:
        groups, self._open = self._open, []
        self._suspects, self._refused = set(), set()
        for group in groups:
            self.accept(group)

    def _check_whole(self) -> FailedCallError | None:
        """Raises what keeps the open transaction from being committed; returns what hides it."""
        if len(self._ours(self._spans())) < len(self._spans()):
            raise NotOursError
        for message, error in [each for group in self._open for each in group.refused]:
            if isinstance(error, str):  # nothing is left that could be sent instead
                raise self.unheard(message, error)
        return worst_of([error for group in self._open for _, error in group.errors])

    async def _begin_again(self, failed: FailedCallError | None) -> None:
        """Abort what is open, or take another producer; until that is done."""
        while True:
            if failed is not None and failed.then is Then.STOP:
                raise failed
            try:
                if failed is not None and failed.then is Then.REPLACE:
                    await self._replace_producer(failed)
                else:
                    await self._calls.abort()
                return
            except FailedCallError as again:
                client.log.debug("kafka: transaction: %s", again)
                failed = failed if again.then is Then.AGAIN else again
            await asyncio.sleep(_BACK_OFF_S)

    async def _replace_producer(self, failed: FailedCallError) -> None:
        """By one that ends the old one's transaction, whoever has fenced it."""
        loop, instance = asyncio.get_running_loop(), self._source.settings.instance
        if not isinstance(failed, SilentCallError):
            if not self._fences.add(loop.time()):
                again = UnavailableError(f"{self.name}: fenced again and again: {failed}")
                raise again if instance is None else self._as_ours(failed.error)
            if instance is not None:  # our consumer is told if it has no such name any more
                await asyncio.sleep(self._source.settings.heartbeat_s * _HEARTBEATS)
        self._own_producer = self._new_producer()
        await self._calls.begin_with(self.producer, until_s=math.inf)

    async def _was_committed(self, failed: FailedCallError) -> bool:
        """Whether a commit that failed has happened nevertheless."""
        if failed.call is not KafkaCall.COMMIT:
            return False
        while True:
            held, lanes = self._calls.thread.assignment.numbers, self._source.numbered
            ours = [span for span in self._ours(self._spans()) if span[0].lane in held]
            if not ours:
                return False
            with suppress(NotOursError):
                return await self._calls.are_committed(offsets_after(ours, lanes), held)

    def _spans(self) -> Spans:
        return [span for group in self._open for span in group.spans]

    def _ours(self, spans: Spans) -> Spans:
        known = self._source.numbered
        return [span for span in spans if not span[0].is_dropped and span[0].lane in known]

    async def _send_one(self, group: Group, message: Outgoing) -> None:
        place = id(message.batch), message.i
        if place in self._refused and not message.is_last_word:
            instead = self.instead(message, "by the broker")
            if instead is not None:
                await self._try_alone(group, instead)
        elif place in self._suspects:
            await self._try_alone(group, message)
        else:
            await super()._send_one(group, message)

    async def _try_alone(self, group: Group, message: Outgoing) -> None:
        """Without neighbours, which are refused together with it."""
        await self._reports.flush(_FLUSH_S)
        refused = await self.send_apart([message])
        place = id(message.batch), message.i
        if not refused:
            self._suspects.discard(place)
            return
        group.refused += refused
        error = refused[0][1]
        if isinstance(error, str) or FailedCallError(KafkaCall.REPORT, error).then is Then.SETTLE:
            if message.is_last_word:
                raise self.unheard(message, str(error))
            self._suspects.discard(place)
            self._refused.add(place)

    async def _redo(self) -> None:
        """The same bytes once more, without those of lanes that are somebody else's now."""
        before, self._open = self._open, []
        grown: set[KafkaSink] = set()
        for message, error in [each for old in before for each in old.errors]:
            then = FailedCallError(KafkaCall.REPORT, error).then
            if then is Then.SETTLE:
                self._suspects |= {(id(message.batch), message.i)} - self._refused
            elif then is Then.ASK:
                grown.add(self.sink_of(message))
        for sink in grown:
            await sink.topic.learn(sink.producer)
        for old in before:
            if not (spans := self._ours(old.spans)):
                self.accept(old)
                continue
            new = Group(spans, self._completed)
            new.receipt = old.receipt
            self._open.append(new)
            await self._produce_all(new)
