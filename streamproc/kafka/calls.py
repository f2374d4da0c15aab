"""The calls of a transaction, made in the Kafka thread, each until it is done or has failed."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from streamproc.kafka import client
from streamproc.kafka.exactly_once import Call, FailedCallError, NotOursError, Then
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.thread import KafkaThread

_CALL_S = 5.0  # of one call, which the broker may not answer; then it is called again
_BACK_OFF_S = 0.1

Step = tuple[Call, Callable[[], None]]


class TransactionCalls:
    """Of one producer after the other. All raise `FailedCallError`.

    Between two tries the thread goes on with what it does all day: it stays in the group.
    """

    def __init__(self, source: KafkaSource, timeout_s: float) -> None:
        self._source = source
        self._timeout_s = min(_CALL_S, timeout_s)
        self._kafka = client.load()
        self._producer: Any = None

    @property
    def thread(self) -> KafkaThread:
        """That of the source."""
        assert self._source.thread is not None
        return self._source.thread

    async def begin_with(self, producer: Any, *, until_s: float = math.inf) -> None:
        """From now on this producer, which ends what one before it of its name left open."""
        self._producer = producer

        def init() -> None:
            producer.init_transactions(self._timeout_s)

        await self._do((Call.INIT, init), (Call.BEGIN, self._begin), until_s=until_s)

    async def commit(self, offsets: list[Any], lanes: set[int]) -> None:
        """And begin the next one. Raises `NotOursError` when not all of `lanes` are ours.

        When what failed is BEGIN, it is committed.
        """

        def send_offsets() -> None:
            assignment = self.thread.assignment
            metadata = assignment.look()  # those of the membership with which lanes are compared
            if not lanes <= assignment.numbers:
                raise NotOursError
            self._producer.send_offsets_to_transaction(offsets, metadata, _CALL_S)

        def commit() -> None:
            self._producer.commit_transaction(_CALL_S)

        await self._do(
            (Call.OFFSETS, send_offsets), (Call.COMMIT, commit), (Call.BEGIN, self._begin)
        )

    async def abort(self) -> None:
        """And begin the next one."""
        await self._do((Call.ABORT, self._abort), (Call.BEGIN, self._begin))

    async def abort_once(self) -> None:
        """As the last call. Raises whatever it raises."""
        await self.thread.submit(self._abort)

    async def are_committed(self, offsets: list[Any]) -> bool:
        """Whether it is just these that the group has."""
        found: list[Any] = []

        def ask() -> None:
            found[:] = self.thread.consumer.committed(offsets, timeout=_CALL_S)

        await self._do((Call.COMMITTED, ask))
        return [each.offset for each in found] == [each.offset for each in offsets]

    async def _do(self, *steps: Step, until_s: float = math.inf) -> None:
        """All of them, one after the other; what can be repeated is, until `until_s`."""
        left, loop = deque(steps), asyncio.get_running_loop()

        def work_off() -> None:
            while left:
                left[0][1]()
                left.popleft()

        while left:
            if self.thread.voice.is_doubted and loop.time() < until_s:
                await asyncio.sleep(_BACK_OFF_S)  # the thread has the group to serve
                continue
            try:
                await self.thread.submit(work_off)
            except self._kafka.KafkaException as raised:
                failed = FailedCallError(left[0][0], raised.args[0])
                if failed.then is not Then.AGAIN or loop.time() >= until_s:
                    raise failed from None
                client.log.debug("kafka: %s, again", failed)
                await asyncio.sleep(_BACK_OFF_S)

    def _begin(self) -> None:
        self._producer.begin_transaction()

    def _abort(self) -> None:
        self._producer.abort_transaction(_CALL_S)
