"""What a producer did not deliver, settled in the order in which it was sent.

A refused message takes its neighbours with it, so each is tried alone. What a producer had when
it was replaced goes to the next one; brokers may have written some of it, and say so to nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamproc.errors import StreamprocError, UnavailableError
from streamproc.kafka.exactly_once import KafkaCall, Then, is_purged, row_of
from streamproc.kafka.outgoing import Group, Outgoing, Refused

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from streamproc.kafka.sink import KafkaSink


class Unsettled:
    """The groups of a sink of which not everything was delivered."""

    def __init__(self, sink: KafkaSink, max_wait_s: float) -> None:
        """`max_wait_s`: for a topic that does not know its partitions yet."""
        self._sink = sink
        self._max_wait_s = max_wait_s
        self._groups: list[Group] = []

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, group: Group) -> None:
        """All of it is reported, and not all of that is good."""
        self._groups.append(group)

    async def settle(self) -> None:
        """All, while nothing else is produced. What cannot be settled is in the receipts."""
        while self._groups:
            first = min(self._groups, key=lambda each: each.number)
            self._groups.remove(first)
            try:
                await self._settle_group(first)
            except StreamprocError as raised:
                if not first.receipt.done():
                    first.receipt.set_exception(raised)
            else:
                self._sink.accept(first)

    async def _settle_group(self, group: Group) -> None:
        left: list[Refused] = group.refused
        while purged := [message for message, error in left if _is_purged(error)]:
            left = [each for each in left if not _is_purged(each[1])]
            purged.sort(key=lambda each: each.number)
            left += await self._sink.send_apart(purged)
        for message, error in left:
            await self._settle(message, error)

    async def _settle(self, message: Outgoing, error: KafkaError | str) -> None:
        """Once more, without others; what is refused again fails."""
        until_s = asyncio.get_running_loop().time() + self._max_wait_s
        was_alone = isinstance(error, str)
        while True:
            reason = self._reason(error)
            if not isinstance(error, str) and row_of(KafkaCall.REPORT, error).then is Then.ASK:
                if asyncio.get_running_loop().time() > until_s:
                    raise UnavailableError(f"{self._sink.name}: {reason}")
                sink = self._sink.sink_of(message)
                await sink.topic.learn(sink.producer)
            elif was_alone:
                return await self._fail(message, reason)
            else:
                was_alone = True
            refused = await self._sink.send_apart([message])
            if not refused:
                return None
            error = refused[0][1]

    def _reason(self, error: KafkaError | str) -> str:
        """Why a record is refused. Raises what is not the record's fault."""
        if isinstance(error, str):
            return error
        if row_of(KafkaCall.REPORT, error).then not in (Then.SETTLE, Then.ASK):
            raise self._sink.failure(error)
        return error.str()

    async def _fail(self, message: Outgoing, reason: str) -> None:
        """The record fails, and what goes out instead goes alone."""
        instead = self._sink.instead(message, reason)
        if instead is not None and await self._sink.send_apart([instead]):
            raise self._sink.unheard(instead, reason)


def _is_purged(error: KafkaError | str) -> bool:
    return not isinstance(error, str) and is_purged(error)
