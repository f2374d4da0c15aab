"""`--dry-run` over a topic."""

from __future__ import annotations

from typing import Any

import pytest
from broker import Broker
from confluent_kafka import Consumer, TopicPartition


@pytest.mark.mock_will_do
def test_a_dry_run_leaves_the_group_alone(
    broker: Broker, topic: Any, produce: Any, run: Any
) -> None:
    """It shows messages, is no member of the group, and commits nothing."""
    name = topic(1)
    produce(name, [b'{"n":%d}' % n for n in range(3)])
    source = f"kafka://{broker.bootstrap}/{name}?group=g-{name}"
    out = f"kafka://{broker.bootstrap}/{name}-out"
    done = run(source, "-o", out, "-e", "x=http://h.example/{n}", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert b"  x: GET http://h.example/2\n" in done.stdout
    assert b"no member of the group" in done.stderr
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"g-{name}"})
    try:
        (committed,) = consumer.committed([TopicPartition(name, 0)], timeout=30)
    finally:
        consumer.close()
    assert committed.offset < 0
