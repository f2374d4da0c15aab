"""An output topic: how many partitions it has, what it takes, and where a message goes.

Both may change under a run: a topic grows, a limit is lowered. They are asked for now and then,
and when a message is refused for want of its partition.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from streamproc.errors import CreateError, StreamprocError
from streamproc.interfaces import Source
from streamproc.kafka import client
from streamproc.kafka.message import Message
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.kafka.source import KafkaSource

if TYPE_CHECKING:
    from confluent_kafka import Producer

_DEFAULT_MAX_BYTES = 1_048_588
_REFRESH_MS = 300_000  # librdkafka's default of `topic.metadata.refresh.interval.ms`
_ANSWER_S, _PAUSE_S = 5.0, 0.1


class Asking:
    """How long a message waits for its topic to know its partition. One is sent at a time."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._until_s: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether one waits."""
        return self._until_s is not None

    def goes_on(self) -> bool:
        """Whether to ask once more; False when that was in vain for long enough."""
        now = asyncio.get_running_loop().time()
        if self._until_s is None:
            self._until_s = now + self._longest_s
        return now < self._until_s

    def end(self) -> None:
        """It is known, or whoever waited does something else."""
        self._until_s = None


class OutputTopic:
    """Facts are those of the last answer; without an answer the ones before hold."""

    def __init__(self, settings: KafkaSinkSettings, timeout_s: float, source: Source) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._source = source if isinstance(source, KafkaSource) else None
        self.count = 0  # partitions
        self.max_bytes = _DEFAULT_MAX_BYTES  # of one message
        self._asking: asyncio.Task[None] | None = None

    @property
    def refresh_s(self) -> float:
        """So often librdkafka looks as well."""
        name = "topic.metadata.refresh.interval.ms"
        named = client.number(self._settings.properties, name, _REFRESH_MS)
        return max(1.0, (named if named > 0 else _REFRESH_MS) / 1000)

    async def connect(self) -> None:
        """Raises what is wrong with it."""
        await self._look(self._timeout_s)

    async def ask(self) -> None:
        """Again, together with all who ask now. Raises `CreateError` when it is gone."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._look(_ANSWER_S))
        try:
            await asyncio.shield(self._asking)
        except CreateError:
            raise
        except StreamprocError as error:
            client.log.debug("kafka: %s", error)

    async def learn(self, producer: Producer) -> None:
        """Ask, and let `producer` ask as well: it refuses partitions that it has not heard of."""
        await self.ask()  # first: a producer that asks for a topic creates it
        loop = asyncio.get_running_loop()
        with suppress(client.load().KafkaException):
            await loop.run_in_executor(None, producer.list_topics, self._settings.topic, _ANSWER_S)
        await asyncio.sleep(_PAUSE_S)

    async def watch(self) -> None:
        """Ask for ever, now and then."""
        while True:
            await asyncio.sleep(self.refresh_s)
            try:
                await self.ask()
            except CreateError as error:  # whoever produces is told
                client.log.debug("kafka: %s", error)

    async def _look(self, timeout_s: float) -> None:
        settings = self._settings
        what = settings.brokers, settings.properties, settings.topic, timeout_s
        loop = asyncio.get_running_loop()
        self.count, limit = await loop.run_in_executor(None, client.topic_facts, *what)
        limit = limit or _DEFAULT_MAX_BYTES
        # a user's own is as good as the broker's: the producer refuses what is larger
        own = client.number(settings.properties, "message.max.bytes", limit)
        self.max_bytes = min(limit, own)

    def place(self, origin: Message | None, key: bytes | None, *, is_same_key: bool) -> int | None:
        """The partition of what came in `origin`; None: all clients' partitioner chooses by key."""
        partition = self._settings.partition
        if origin is None or partition == "key":
            return None
        if partition == "same" or key is None:
            return int(origin.partition()) % self.count
        if not is_same_key or self._source is None:
            return None
        is_like_input = self._source.count_partitions(origin.topic()) == self.count
        return int(origin.partition()) if is_like_input else None
