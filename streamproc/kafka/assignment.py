"""What this instance holds of the topics: how it gets partitions, pauses them, gives them back.

All of it runs in the Kafka thread, half of it in librdkafka's callbacks: nothing may be raised
there, because confluent_kafka makes of it what no `except` catches.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from streamproc.kafka import client, positions
from streamproc.kafka.settings import KafkaSourceSettings

Place = tuple[str, int]  # topic and partition

_REVOKE_S = 20.0  # what records in flight get when their partition moves
_AGAIN_S = 0.1
_LAG_S = 1.0  # so often it is looked at
_TIMEOUT_S = 10.0


class Host(Protocol):
    """The thread."""

    consumer: Any
    is_closing: bool

    def tell_assigned(self, partitions: list[tuple[str, int, int]]) -> None:
        """Topic, partition and the offset that is its end now."""

    def tell_leaving(self, partitions: list[Place]) -> None:
        """Nothing more will come of them, and nothing more shall be begun."""

    def drain(self, partitions: list[Place]) -> Any:
        """A `concurrent.futures.Future` that is done when they may go."""

    def tell_gone(self, partitions: list[Place]) -> None:
        """They are somebody else's."""

    def is_passing(self, error: Any) -> bool:
        """Whether it goes when the broker is back."""

    def fail(self, error: Any) -> None:
        """It is over."""

    def wait_for_job(self, seconds: float) -> None:
        """Do one, if one comes."""


class Assignment:
    """The partitions that are ours now."""

    def __init__(self, host: Host, settings: KafkaSourceSettings) -> None:
        self._host = host
        self._settings = settings
        self._kafka = client.load()
        self._held: set[Place] = set()
        self._owned: set[Place] = set()  # held, or given back as soon as what is in flight is done
        self._paused: set[Place] = set()
        self._measured_s = 0.0
        self.partitions: dict[str, list[int]] = {}  # of all topics, whoever has them
        self.lag: int | None = None  # messages that are there and not fetched
        self.has_begun = False
        self._has_taken = False

    def connect(self, timeout_s: float) -> None:
        """A broker answers, and the topics are there. Raises what is wrong."""
        for topic in self._settings.topics:
            self.partitions[topic] = client.partitions_of(
                self._host.consumer, self._settings.brokers, topic, timeout_s
            )

    def begin(self) -> None:
        """Join the group, or take all partitions."""
        self.has_begun = True
        consumer = self._host.consumer
        if self._settings.group is not None:
            consumer.subscribe(
                list(self._settings.topics),
                on_assign=lambda _, which: self._on_assign(which),
                on_revoke=lambda _, which: self._on_revoke(which, is_lost=False),
                on_lost=lambda _, which: self._on_revoke(which, is_lost=True),
            )
            return
        whole = [
            self._kafka.TopicPartition(topic, partition)
            for topic, partitions in self.partitions.items()
            for partition in partitions
        ]
        try:
            ends = self._ends(whole)
            consumer.assign(positions.placed(consumer, self._settings.from_, whole))
        except self._kafka.KafkaException as error:
            name = f"kafka://{self._settings.brokers}"
            raise client.as_ours(error.args[0], name) from None
        self._take(ends)

    def owns(self, partitions: set[Place]) -> bool:
        """Whether all of them are still ours."""
        return partitions <= self._owned

    def pause_only(self, wanted: set[Place] | None = None) -> None:
        """Pause these, by default all, and let the others go on."""
        wanted = self._held if wanted is None else wanted & self._held
        if wanted == self._paused:
            return
        if new := wanted - self._paused:
            self._host.consumer.pause([self._kafka.TopicPartition(*each) for each in new])
        if old := (self._paused - wanted) & self._held:
            self._host.consumer.resume([self._kafka.TopicPartition(*each) for each in old])
        self._paused = set(wanted)

    def measure_lag(self) -> None:
        """Once a second, from what librdkafka knows."""
        now = time.monotonic()
        if now < self._measured_s + _LAG_S:
            return
        self._measured_s = now
        lag, consumer = 0, self._host.consumer
        for place in self._held:
            partition = self._kafka.TopicPartition(*place)
            _, high = consumer.get_watermark_offsets(partition, cached=True)
            [position] = consumer.position([partition])
            lag += max(0, high - position.offset) if position.offset >= 0 else 0
        self.lag = lag

    def is_group_at_end(self) -> bool:
        """Whether others have done all there is; False also when nobody answers."""
        if self._settings.group is None or not self._has_taken:
            return False
        consumer, kind = self._host.consumer, self._kafka.TopicPartition
        places = [kind(topic, each) for topic, all_ in self.partitions.items() for each in all_]
        try:
            for each in consumer.committed(places, timeout=_TIMEOUT_S):
                low, high = consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
                if high > low and each.offset < high:
                    return False
        except self._kafka.KafkaException as raised:
            if not self._host.is_passing(raised.args[0]):
                self._host.fail(raised.args[0])
            return False
        return True

    def _ends(self, partitions: list[Any]) -> list[tuple[str, int, int]]:
        ends = []
        for each in partitions:
            _, end = self._host.consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
            ends.append((each.topic, each.partition, end))
        return ends

    def _take(self, ends: list[tuple[str, int, int]]) -> None:
        new = {(topic, partition) for topic, partition, _ in ends}
        self._held |= new
        self._owned |= new
        self._has_taken = True
        self._host.tell_assigned(ends)

    # Called back

    def _on_assign(self, partitions: list[Any]) -> None:
        consumer = self._host.consumer
        while not self._host.is_closing:  # the broker may just be away
            try:
                committed = consumer.committed(partitions, timeout=_TIMEOUT_S)
                placed = positions.placed(consumer, self._settings.from_, partitions, committed)
                ends = self._ends(partitions)
                consumer.incremental_assign(placed)
                if partitions:  # librdkafka keeps the pause of an earlier assignment
                    consumer.resume(partitions)
                self._take(ends)
                return
            except self._kafka.KafkaException as raised:
                if not self._host.is_passing(raised.args[0]):
                    self._host.fail(raised.args[0])
                    return
                client.log.debug("kafka: %s", raised.args[0].str())
                self._host.wait_for_job(_AGAIN_S)

    def _on_revoke(self, partitions: list[Any], *, is_lost: bool) -> None:
        places = [(each.topic, each.partition) for each in partitions]
        which = set(places)
        self._held -= which
        self._paused -= which
        if is_lost:
            self._owned -= which
        if not self._host.is_closing:
            self._host.tell_leaving(places)
            if not is_lost:
                self._wait_for(self._host.drain(places))
            self._host.tell_gone(places)
        self._owned -= which
        if not is_lost:
            try:
                self._host.consumer.incremental_unassign(partitions)
            except self._kafka.KafkaException as error:
                client.log.debug("kafka: %s", error.args[0].str())

    def _wait_for(self, drained: Any) -> None:
        deadline = time.monotonic() + _REVOKE_S
        while not drained.done() and time.monotonic() < deadline and not self._host.is_closing:
            self._host.wait_for_job(0.005)
        drained.cancel()
