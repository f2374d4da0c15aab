"""Who has the name of a static member: a twin, or an echo of what we asked before an outage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from broker import PATIENCE_S, until
from confluent_kafka import Consumer, KafkaException
from copies import Copy, both, message, written

from streamproc.kafka.static_name import StaticName
from tests.conftest import summary

pytestmark = pytest.mark.forked

OTHER = b"another id"
alone = pytest.mark.mock_will_do


@contextmanager
def joining(it: Copy, **config: str) -> Iterator[None]:
    """Somebody asks to be let in, and takes part in nothing that follows: it does not poll."""
    more = {"group.id": it.group, "partition.assignment.strategy": "cooperative-sticky"}
    consumer = Consumer({"bootstrap.servers": it.broker.bootstrap, **more, **config})
    try:
        consumer.subscribe([it.source])
        yield
    finally:
        consumer.close()


def ids(it: Copy) -> dict[str | None, str]:
    """Of the group's members, by their names."""
    admin = it.broker.admin
    try:
        found = admin.describe_consumer_groups([it.group])[it.group].result(PATIENCE_S)
    except KafkaException:  # the coordinator has just begun
        return {}
    return {each.group_instance_id: each.member_id for each in found.members}


@both
def test_an_echo_of_ourselves(
    copy: Any, produce: Any, start: Any, consume_all: Any, exactly_once: str
) -> None:
    """As brokers that were silent let us in twice: who listens is told that it is fenced."""
    it = copy(exactly_once)
    produce(it.source, [message(n) for n in range(40)])
    with joining(it):  # the next generation waits for it
        until(lambda: None in ids(it), "a group")
        process = start(*it.arguments("none", instance="one"))
        until(lambda: "one" in ids(it), "its member id")
        first = ids(it)["one"]
        with joining(it, **{"group.instance.id": "one"}):
            until(lambda: ids(it).get("one") not in (first, None), "the echo's")
    until(lambda: process.poll() is not None or len(consume_all(it.target)) == 40, "all")
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, summary(said)["ok"]) == (143, 40), said.decode()
    assert sorted(written(consume_all(it.target))) == list(range(40))


@alone
def test_who_was_there_for_some_heartbeats_has_a_twin() -> None:
    """What was asked before it was taken in is done by then."""
    name = StaticName(heartbeat_s=3.0, look_s=1.0)
    name.taken_in(b"id")
    for _ in range(6):
        name.looked(b"id")
    name.taken_in(b"id")  # of the next generation
    assert name.has_twin(b"id", 0.0)


@alone
@pytest.mark.parametrize("looks", [0, 5])
def test_who_is_new_is_not_alone_after_the_third_time(looks: int) -> None:
    """Nothing has been heard of the group that could say more."""
    name = StaticName(heartbeat_s=3.0, look_s=1.0)
    for k in range(4):
        member = b"id%d" % k
        name.taken_in(member)
        for _ in range(looks):
            name.looked(member)
        assert name.has_twin(member, k * 20.0) is (k == 3)


@alone
def test_who_has_not_been_taken_in_yet_is_new() -> None:
    """However long the group has been waiting for others meanwhile."""
    name = StaticName(heartbeat_s=3.0, look_s=1.0)
    name.taken_in(b"id")
    for _ in range(20):
        name.looked(OTHER)
    assert not name.has_twin(OTHER, 0.0)
