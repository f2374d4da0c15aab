"""Topics of the benchmarks: filled with leads, and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from benchmarks.generate import leads_file
from streamproc.kafka.client import CONSUMER, PRODUCER
from tests.kafka.broker import Broker

PARTITIONS = 4
FLUSH_S = 60
# the broker says when something came in, whatever its sender says
STAMPED = {"message.timestamp.type": "LogAppendTime"}


class Topics:
    """Those of one broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._filled: dict[int, str] = {}

    def new(self, name: str = "out") -> str:
        """An empty one."""
        topic = f"{name}-{uuid4()}"
        self.broker.create_topic(topic, PARTITIONS, STAMPED if name == "out" else {})
        return topic

    def filled(self, records: int) -> str:
        """One with so many leads, keyed, with a header; made if it is not there yet."""
        if records not in self._filled:
            topic = self.new(f"leads-{records}")
            producer = self.producer()
            with leads_file(records).open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    produce(producer, topic, number, line.rstrip())
            assert producer.flush(FLUSH_S) == 0
            self._filled[records] = topic
        return self._filled[records]

    def producer(self, **more: Any) -> Producer:
        return Producer(PRODUCER | {"bootstrap.servers": self.broker.bootstrap} | more)

    def source(self, topic: str, *more: str) -> str:
        """The address to read it from, with a group of its own."""
        parameters = "&".join([f"group={uuid4()}", *more])
        return f"kafka://{self.broker.bootstrap}/{topic}?{parameters}"

    def sink(self, topic: str, *more: str) -> str:
        """The address to write it to."""
        return f"kafka://{self.broker.bootstrap}/{topic}?{'&'.join(more)}"

    def messages(self, topic: str) -> Iterator[Any]:
        """All that readers of committed messages see."""
        consumer = self.reader(topic, OFFSET_BEGINNING)
        left = PARTITIONS
        while left:
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left -= 1
        consumer.close()

    def reader(self, topic: str, offset: int) -> Consumer:
        """A consumer of all partitions."""
        settings = {"bootstrap.servers": self.broker.bootstrap, "group.id": str(uuid4())}
        consumer = Consumer(CONSUMER | settings)
        consumer.assign([TopicPartition(topic, each, offset) for each in range(PARTITIONS)])
        return consumer

    def committed(self, topic: str, group: str) -> int:
        """How many messages of `topic` the group is done with, as its offsets say."""
        settings = {"bootstrap.servers": self.broker.bootstrap, "group.id": group}
        consumer = Consumer(settings)
        places = [TopicPartition(topic, each) for each in range(PARTITIONS)]
        found = consumer.committed(places, timeout=FLUSH_S)
        consumer.close()
        return sum(max(0, each.offset) for each in found)

    def delete(self, topic: str) -> None:
        admin = self.broker.admin  # has to outlive the answer
        admin.delete_topics([topic])[topic].result(FLUSH_S)


def produce(producer: Producer, topic: str, number: int, line: bytes) -> None:
    """With a key and a header, round the partitions."""
    while True:
        try:
            producer.produce(
                topic, line, b"%d" % number,
                headers=[("source", b"benchmark")], partition=number % PARTITIONS,
            )  # fmt: skip
        except BufferError:
            producer.poll(0.05)
        else:
            producer.poll(0)
            return


def id_of(message: Any) -> int:
    return int(json.loads(message.value())["id"])
