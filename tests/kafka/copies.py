"""From one topic to another through a stage, in a group: what tests of faults have in common."""

from __future__ import annotations

import json
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, until
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

PARTITIONS = 4
# of a broker that has just come back
NOT_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
both = pytest.mark.parametrize("exactly_once", ["true", "false"])
STAGES = """
import asyncio, os

async def slow(record):
    with open("calls", "a") as calls:
        calls.write(f"{record['n']}\\n")
    await asyncio.sleep(record.get("s", 0))
    return {"ok": True}

async def gate(record):
    wait = record.get("wait")
    while wait and not os.path.exists("open" if wait is True else wait):
        await asyncio.sleep(0.01)
    return {"ok": True}

def crash(record):
    if record.get("crash"):
        os._exit(9)
    return {"ok": True}
"""


class Copy:
    """From one topic to another, in a group, through a stage."""

    def __init__(self, broker: Broker, source: str, target: str, exactly_once: str) -> None:
        self.broker = broker
        self.source = source
        self.target = target
        self.group = "group" + target
        self.exactly_once = exactly_once

    def arguments(self, stage: str, *more: str, **properties: Any) -> list[str]:
        query = "".join(f"&{key}={value}" for key, value in properties.items())
        return [
            f"kafka://{self.broker.bootstrap}/{self.source}?group={self.group}{query}",
            "-o", f"kafka://{self.broker.bootstrap}/{self.target}?exactly_once={self.exactly_once}",
            "-e", stage if stage == "none" else f"stages.py:{stage}", "--summary", "json", *more,
        ]  # fmt: skip

    def committed(self) -> dict[int, int]:
        return committed(self.broker, self.group, self.source)


def committed(broker: Broker, group: str, topic: str) -> dict[int, int]:
    """Of the group, by partition; 0 for nothing."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    places = [TopicPartition(topic, each) for each in range(PARTITIONS)]
    found: list[TopicPartition] = []

    def is_answered() -> bool:
        try:
            found.extend(consumer.committed(places, timeout=PATIENCE_S))
        except KafkaException as problem:
            if problem.args[0].code() not in NOT_YET:
                raise
        return bool(found)

    try:
        until(is_answered, "the group's coordinator")
        return {each.partition: max(0, each.offset) for each in found}
    finally:
        consumer.close()


def message(n: int, **fields: Any) -> dict[str, Any]:
    """Number n is the message n // 4 of partition n % 4."""
    value = json.dumps({"n": n, **fields}).encode()
    return {"value": value, "key": b"k%d" % n, "partition": n % PARTITIONS}


def written(messages: list[Any]) -> list[int]:
    """The numbers of records that did not fail."""
    found = [json.loads(each.value) for each in messages]
    return [each["n"] for each in found if "_error" not in each]
