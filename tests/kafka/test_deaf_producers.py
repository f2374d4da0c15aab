"""A producer that has lost the brokers for good: another one sends what it still has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from broker import PATIENCE_S, Broker
from confluent_kafka import KafkaError, KafkaException, Producer

from streamproc.interfaces import SinkScope
from streamproc.kafka import hearing, output_topic
from streamproc.kafka.client import PRODUCER
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.kafka.sink import KafkaSink
from streamproc.record import Batch, Cursor, Note
from streamproc.testing import MemorySource

pytestmark = pytest.mark.mock_will_do
NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
SENDS, LINES = 5, 40


class ProducerWithoutTopic(Producer):
    """It was told of no topic either, by a broker that had just begun."""

    def produce(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))


class SinkThatGoesDeaf(KafkaSink):
    """Its first producer, and no other one, is with brokers that are not there."""

    kind: type[Producer] = Producer
    more: dict[str, Any] = {}  # noqa: RUF012 - set by a test
    made = 0

    def _new_producer(self) -> Any:
        self.made += 1
        return (
            self.kind(PRODUCER | NOWHERE | self.more) if self.made == 1 else super()._new_producer()
        )


def scope(*, takes_dead_letters: bool = False) -> SinkScope:
    source = MemorySource([])
    return SinkScope(source, lambda *_: Note("failed"), takes_dead_letters=takes_dead_letters)


def batch(k: int) -> Batch:
    lines = [b'{"n":%d}' % (k * LINES + i) for i in range(LINES)]
    found = Batch(0, Cursor("in", k * LINES, 0), lines, sum(map(len, lines)))
    found.results = list(lines)
    return found


@pytest.mark.parametrize(
    ("kind", "queue"),
    [(Producer, 100_000), (Producer, 10), (Producer, 130), (ProducerWithoutTopic, 100_000)],
)
def test_another_producer_sends_it(
    broker: Broker,
    topic: Callable[..., str],
    consume_all: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Producer],
    queue: int,
) -> None:
    """All of it, once, in order; what waited for room in the old one's queue as well."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.5)
    monkeypatch.setattr(output_topic, "_ANSWER_S", 0.5)
    name = topic()

    async def main() -> int:
        settings = KafkaSinkSettings(brokers=broker.bootstrap, topic=name)
        sink = SinkThatGoesDeaf(settings, scope())
        sink.kind = kind
        sink.more = {"queue.buffering.max.messages": queue}
        async with asyncio.timeout(PATIENCE_S), sink:
            sends = [asyncio.create_task(sink.send([(batch(k), 0, LINES)])) for k in range(SENDS)]
            for each in sends:
                await (await each)
            await (await sink.send([(batch(SENDS), 0, LINES)]))
        return sink.made

    assert asyncio.run(main()) > 1
    count = (SENDS + 1) * LINES
    assert [each.value for each in consume_all(name)] == [b'{"n":%d}' % n for n in range(count)]


def test_dead_letters_too(
    broker: Broker,
    topic: Callable[..., str],
    consume_all: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that are no records of an output."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.5)
    name = topic()

    async def main() -> None:
        settings = KafkaSinkSettings(brokers=broker.bootstrap, topic=name)
        sink = SinkThatGoesDeaf(settings, scope(takes_dead_letters=True))
        async with asyncio.timeout(PATIENCE_S), sink:
            await sink.write(b'{"_error":{},"_input":{"n":1}}\n')

    asyncio.run(main())
    assert len(consume_all(name)) == 1
