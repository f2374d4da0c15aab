"""A consumer that hears nothing any more, though brokers are there: another one goes on."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from broker import PATIENCE_S, Broker
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamproc.kafka import hearing
from streamproc.kafka.settings import KafkaSourceSettings
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.thread import KafkaThread

pytestmark = pytest.mark.mock_will_do


class Deaf:
    """As librdkafka's when it has forgotten all brokers (its issue 5301)."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.consumer, name)

    def poll(self, seconds: float) -> None:
        time.sleep(seconds)

    def list_topics(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))


async def received(source: KafkaSource, count: int) -> list[int]:
    """The offsets of so many."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            batch, _ = await source.receive() or (None, None)
            assert batch is not None
            found += [batch.cursor.offset + i for i in range(len(batch))]
    return found


@pytest.mark.parametrize("group", ["readers", None])
def test_another_consumer_goes_on(
    broker: Broker,
    topic: Callable[..., str],
    produce: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    group: str | None,
) -> None:
    """Where it was; in a group from what is committed, which is nothing here."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.2)
    name = topic(1)
    produce(name, [b"{}"] * 5)
    settings = KafkaSourceSettings(
        brokers=broker.bootstrap, topics=(name,), group=group and name, from_="beginning"
    )

    async def main() -> list[int]:
        async with KafkaSource(settings) as source:
            assert await received(source, 5) == [0, 1, 2, 3, 4]
            thread: Any = source.thread

            def deafen() -> None:
                thread.consumer = Deaf(thread.consumer)

            await thread.submit(deafen)
            await asyncio.to_thread(produce, name, [b"{}"] * 5)
            return await received(source, 5 if group is None else 10)

    first = 5 if group is None else 0
    assert asyncio.run(main()) == list(range(first, 10))


def test_what_could_not_be_taken_is_asked_for_anew(
    broker: Broker,
    topic: Callable[..., str],
    produce: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A callback must return; what librdkafka makes of that is nothing of ours."""
    name = topic(1)
    produce(name, [b"{}"] * 5)
    patiently, tried = KafkaThread.patiently, []

    def in_vain(thread: KafkaThread, attempt: Any, longest_s: float = math.inf) -> bool:
        tried.append(getattr(attempt, "__name__", ""))
        is_first = tried.count("assign") == 1 and tried[-1] == "assign"
        return False if is_first else patiently(thread, attempt, longest_s)

    monkeypatch.setattr(KafkaThread, "patiently", in_vain)
    settings = KafkaSourceSettings(
        brokers=broker.bootstrap, topics=(name,), group=name, from_="beginning"
    )

    async def main() -> list[int]:
        async with KafkaSource(settings) as source:
            return await received(source, 5)

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert tried.count("assign") > 1


def test_what_could_not_be_given_back_is_given_up(
    broker: Broker, topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else librdkafka waits for that, and the whole group for it, up to max.poll.interval.ms."""
    failed: list[Consumer] = []

    class Fails(Consumer):
        def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
            if not failed:
                failed.append(self)
                partitions = [TopicPartition("no such topic", 0)]
            super().incremental_unassign(partitions)

    monkeypatch.setattr(confluent_kafka, "Consumer", Fails)
    name = topic(2)
    settings = KafkaSourceSettings(brokers=broker.bootstrap, topics=(name,), group=name)

    def numbers(source: KafkaSource) -> set[int]:
        return source._thread.assignment.numbers

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), KafkaSource(settings) as first:
            while len(numbers(first)) < 2:  # noqa: ASYNC110 - it is in another thread
                await asyncio.sleep(0.05)
            async with KafkaSource(settings) as second:
                while not failed or not len(numbers(first)) == len(numbers(second)) == 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    asyncio.run(main())


def test_brokers_that_are_away_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is answered: that is no fault of the consumer."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.0)
    made: list[Deaf] = []

    class Other(Deaf):
        def __init__(self) -> None:
            made.append(self)

        def close(self) -> None:
            made.remove(self)

    it = hearing.Hearing(Other, "in")
    assert it.better_one(Deaf(None)) is None
    assert made == []


def test_brokers_that_are_just_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are answered first by chance: who is answered the next time is kept."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.0)
    answered = SimpleNamespace(list_topics=lambda *_, **__: None, close=lambda: None)
    it = hearing.Hearing(lambda: answered, "in")
    for _ in range(3):
        assert it.better_one(Deaf(None)) is None
        assert it.better_one(answered) is None
    assert it.better_one(Deaf(None)) is None
    assert it.better_one(Deaf(None)) is answered


def test_brokers_to_which_it_is_a_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new client connects, greets and logs in before it asks: 8 round trips of 0.4 s."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.0)

    def list_topics(_: str, timeout: float) -> None:
        if timeout < 8 * 0.4:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    far = SimpleNamespace(list_topics=list_topics, close=lambda: None)
    it = hearing.Hearing(lambda: far, "in")
    assert it.better_one(Deaf(None)) is None
    assert it.better_one(Deaf(None)) is far


def test_a_topic_in_which_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is answered is kept, however long it has been silent."""
    monkeypatch.setattr(hearing, "_SILENCE_S", 0.0)
    it = hearing.Hearing(lambda: pytest.fail("no other one is needed"), "in")
    assert it.better_one(SimpleNamespace(list_topics=lambda *_, **__: None)) is None
