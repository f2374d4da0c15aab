"""The calls of a transaction, each until it is done, has failed, or was silent for too long.

They are made in a thread of the producer's own: one that no broker answers holds up neither the
group, which is served in the Kafka thread, nor the next producer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from streamproc.kafka import client
from streamproc.kafka.brokers import BrokerMonitor
from streamproc.kafka.exactly_once import (
    FailedCallError,
    KafkaCall,
    NotOursError,
    SilentCallError,
    Then,
    is_silence,
)
from streamproc.kafka.host import Place
from streamproc.kafka.jobs import JobThread
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.thread import KafkaThread

if TYPE_CHECKING:
    from confluent_kafka import Producer, TopicPartition

_CALL_S = 5.0  # of one call, which the broker may not answer; then it is called again
_BACK_OFF_S = 0.1
_LOOK_S = 1.0
_AFTER_OUTAGE_S = 2.0


class TransactionCalls:
    """Of one producer after the other. All raise `FailedCallError`.

    A producer may have lost all brokers for good when they were started again, and may send
    offsets for ever: https://github.com/confluentinc/librdkafka/issues/5456, and 5511. So it is
    `SilentCallError` when a call has no answer for `silence_s` while brokers answer others; when
    all were away since the producer began, that is soon.
    """

    def __init__(self, source: KafkaSource, timeout_s: float, silence_s: float) -> None:
        self._source = source
        self._silence_s = silence_s
        self._timeout_s = min(_CALL_S, timeout_s)
        self._kafka = client.load()
        self._producer: Any = None
        self._jobs: JobThread | None = None
        self._outages = 0  # before the producer

    @property
    def thread(self) -> KafkaThread:
        """That of the source."""
        assert self._source.thread is not None
        return self._source.thread

    async def begin_with(self, producer: Producer, *, until_s: float = math.inf) -> None:
        """From now on this producer, which ends what one before it of its name left open."""
        self.close()
        self._producer, self._jobs = producer, JobThread("transactions", producer)
        self._outages = self.thread.broker_monitor.outages
        await self._made(
            KafkaCall.INIT, lambda: producer.init_transactions(self._timeout_s), until_s
        )
        await self._begin(until_s)

    def close(self) -> None:
        """Make no more."""
        if self._jobs is not None:
            self._jobs.close()

    async def commit(
        self,
        following: Mapping[Place, int],
        lanes: set[int],
        failure: FailedCallError | None = None,
    ) -> None:
        """And begin the next one. Raises `NotOursError` when not all of `lanes` are ours.

        `following`: by partition, the offset after the last message that is done. `failure`: the
        transaction has failed; to send offsets says why, and if it does not, that is raised.
        When what failed is BEGIN, it is committed.
        """
        offsets = self._as_offsets(following)

        def look() -> bytes:
            assignment = self.thread.assignment
            metadata = assignment.look()  # those of the membership with which lanes are compared
            if not lanes <= assignment.numbers:
                raise NotOursError
            return metadata

        async def send_offsets() -> None:
            metadata = await self.thread.submit(look)
            send = self._producer.send_offsets_to_transaction
            await self._submit(lambda: send(offsets, metadata, _CALL_S))

        await self._repeat(KafkaCall.OFFSETS, send_offsets)
        if failure is not None:
            raise failure
        await self._made(KafkaCall.COMMIT, lambda: self._producer.commit_transaction(_CALL_S))
        await self._begin()

    async def abort(self) -> None:
        """And begin the next one."""
        await self._made(KafkaCall.ABORT, self._abort)
        await self._begin()

    async def abort_once(self) -> None:
        """As the last call. Raises whatever it raises."""
        await self._submit(self._abort)

    async def are_committed(self, following: Mapping[Place, int], lanes: set[int]) -> bool:
        """Whether it is just these that the group has; until it answers.

        Raises `NotOursError` when not all of `lanes` are ours any more.
        """
        found: list[Any] = []
        offsets = self._as_offsets(following)

        def ask() -> None:
            if not lanes <= self.thread.assignment.numbers:
                raise NotOursError
            found[:] = self.thread.consumer.committed(offsets, timeout=_CALL_S)

        await self._repeat(KafkaCall.COMMITTED, lambda: self.thread.submit(ask))
        return [each.offset for each in found] == [each.offset for each in offsets]

    def _as_offsets(self, following: Mapping[Place, int]) -> list[TopicPartition]:
        return [self._kafka.TopicPartition(*each, offset) for each, offset in following.items()]

    async def _begin(self, until_s: float = math.inf) -> None:
        await self._made(KafkaCall.BEGIN, self._producer.begin_transaction, until_s)

    def _abort(self) -> None:
        self._producer.abort_transaction(_CALL_S)

    @property
    def _patience_s(self) -> float:
        is_as_before = self.thread.broker_monitor.outages == self._outages
        return self._silence_s if is_as_before else min(_AFTER_OUTAGE_S, self._silence_s)

    async def _submit(self, function: Callable[[], object]) -> None:
        assert self._jobs is not None
        await self._jobs.submit(function)

    async def _made(
        self, call: KafkaCall, function: Callable[[], object], until_s: float = math.inf
    ) -> None:
        await self._repeat(call, lambda: self._submit(function), until_s)

    async def _repeat(
        self, call: KafkaCall, attempt: Callable[[], Awaitable[None]], until_s: float = math.inf
    ) -> None:
        """What can be repeated is, until `until_s`. The consumer is not ours to replace."""
        loop, silence = asyncio.get_running_loop(), _Silence(self.thread.broker_monitor)
        while True:
            trying = asyncio.ensure_future(attempt())
            try:
                while not trying.done():
                    is_patient = call is KafkaCall.COMMITTED or until_s < math.inf
                    if not is_patient and silence.seconds >= self._patience_s:
                        raise SilentCallError(call)
                    await asyncio.wait({trying}, timeout=_LOOK_S)
                return await trying
            except self._kafka.KafkaException as raised:
                failed = FailedCallError(call, raised.args[0])
            finally:
                trying.cancel()
            if failed.then is not Then.AGAIN or loop.time() >= until_s:
                raise failed
            if not is_silence(failed.error):
                silence = _Silence(self.thread.broker_monitor)
            client.log.debug("kafka: %s, again", failed)
            await asyncio.sleep(_BACK_OFF_S)


class _Silence:
    """How long there has been no answer, the time apart in which there were no brokers."""

    def __init__(self, broker_monitor: BrokerMonitor) -> None:
        self._broker_monitor = broker_monitor
        self._seconds, self._looked_s = 0.0, asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        """Until now; to be looked at now and then."""
        now = asyncio.get_running_loop().time()
        if not self._broker_monitor.is_doubted:
            self._seconds += now - self._looked_s
        self._looked_s = now
        return self._seconds
