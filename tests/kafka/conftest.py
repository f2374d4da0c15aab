"""One broker for all tests; topics of their own; messages in and out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from broker import PATIENCE_S, Broker, missing, prepare
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from copies import PARTITIONS, STAGES, Copy
from mock_broker import MockBroker

from tests.conftest import NO_BROKER


class Message(NamedTuple):
    """What came back; the timestamp in milliseconds."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int
    timestamp: int


NEEDED = missing() if os.environ.get("KAFKA_TESTS") != "mock" else "KAFKA_TESTS=real"


@pytest.hookimpl(tryfirst=True)  # before a fixture starts a broker
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Java only those run to which a mock cluster is broker enough."""
    if not NEEDED or item.get_closest_marker("mock_will_do"):
        return
    if os.environ.get("CI"):
        pytest.fail(f"no broker without {NEEDED}")
    pytest.skip(f"{NO_BROKER}{NEEDED}")


@pytest.fixture(scope="session")
def installed() -> None:
    """For tests that start brokers of their own: without Java they are not run."""
    if not NEEDED:
        prepare()


@pytest.fixture(scope="session")
def broker(installed: None) -> Iterator[Broker | MockBroker]:
    with MockBroker() if NEEDED else Broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def secured(installed: None) -> Iterator[Broker]:
    """Where passwords, certificates and rights count; all but root need rights."""
    listeners = ("SASL_PLAINTEXT", "SSL", "SASL_SSL")
    users = {"root": "toor", "alice": "secret", "carol": "geheim+/&7Q", "dave": "swordfish"}
    with Broker(listeners, users=users, superusers=["root", "carol"]) as broker:
        broker.create_topic("orders")
        yield broker


@pytest.fixture
def topic(broker: Broker) -> Callable[..., str]:
    """`topic(partitions, config)` creates one and answers with its name."""

    def create(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"topic-{uuid4()}"
        broker.create_topic(name, partitions, config)
        return name

    return create


@pytest.fixture
def copy(broker: Broker, topic: Callable[..., str], folder: Path) -> Callable[..., Copy]:
    """`copy(exactly_once, config)` is one between two new topics; its stages are in the folder."""
    (folder / "stages.py").write_text(STAGES)

    def between(exactly_once: str = "false", **config: str) -> Copy:
        return Copy(broker, topic(PARTITIONS), topic(PARTITIONS, config), exactly_once)

    return between


@pytest.fixture
def produce(broker: Broker) -> Callable[[str, Iterable[Any]], None]:
    """Messages are values, or dictionaries of what confluent-kafka's `produce` takes."""

    def produce_all(topic: str, messages: Iterable[bytes | Mapping[str, Any] | None]) -> None:
        refused: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error:
                refused.append(error)

        producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "queue.buffering.max.messages": 10_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
            }
        )
        for each in messages:
            message = each if isinstance(each, Mapping) else {"value": each}
            producer.poll(0)
            producer.produce(topic, on_delivery=delivered, **message)
        assert producer.flush(PATIENCE_S) == 0
        if refused:
            raise KafkaException(refused[0])

    return produce_all


@pytest.fixture
def consume_all(broker: Broker) -> Callable[..., list[Message]]:
    """What is in a topic now, partition by partition; `isolation` as in `isolation.level`."""

    def consume(topic: str, isolation: str = "read_committed") -> list[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "consume_all",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": isolation,
            }
        )
        try:
            return read_to_the_end(consumer, topic)
        finally:
            consumer.close()

    return consume


def read_to_the_end(consumer: Consumer, topic: str) -> list[Message]:
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    found: dict[int, list[Message]] = {each: [] for each in sorted(partitions)}
    consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in found])
    open_partitions, deadline = set(found), time.monotonic() + PATIENCE_S
    while open_partitions:
        assert time.monotonic() < deadline, f"no end of {topic}: {open_partitions}"
        for each in consumer.consume(1000, 0.1):
            error, partition = each.error(), each.partition()
            assert partition is not None
            if error is None:
                headers: Any = each.headers() or []
                message = Message(each.value(), each.key(), headers, partition, each.timestamp()[1])
                found[partition].append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(partition)
            else:
                raise KafkaException(error)
    return [message for messages in found.values() for message in messages]
