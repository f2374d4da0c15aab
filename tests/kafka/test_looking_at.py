"""`--dry-run` over a topic."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from broker import Broker
from confluent_kafka import Consumer, TopicPartition

pytestmark = pytest.mark.forked


@pytest.mark.mock_will_do
def test_a_dry_run_leaves_the_group_alone(
    broker: Broker, topic: Any, produce: Any, run: Any
) -> None:
    """It shows messages that another member has, is none itself, and commits nothing."""
    name, group = topic(1), f"g-{uuid4()}"
    produce(name, [b'{"n":%d}' % n for n in range(3)])
    source = f"kafka://{broker.bootstrap}/{name}?group={group}"
    assigned: list[Any] = []
    revoked: list[Any] = []
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    try:
        member.subscribe(
            [name],
            on_assign=lambda _, places: assigned.extend(places),
            on_revoke=lambda _, places: revoked.extend(places),
        )
        while not assigned:
            member.poll(0.1)
        done = run(source, "-o", "out", "-e", "x=http://h.example/{n}", "--dry-run")
        member.poll(0)
        assert revoked == []
        (committed,) = member.committed([TopicPartition(name, 0)], timeout=30)
    finally:
        member.close()
    assert done.returncode == 0, done.stderr
    assert b"  x: GET http://h.example/2\n" in done.stdout
    assert b"no member of the group" in done.stderr
    assert committed.offset < 0
