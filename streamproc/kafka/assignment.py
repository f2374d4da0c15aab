"""What this instance holds of the topics: how it gets partitions, pauses them, gives them back.

All of it runs in the Kafka thread, half of it in librdkafka's callbacks. Nothing may be raised
there, because confluent_kafka makes of it what no `except` catches; and `poll`, `consume`, `close`
and `list_topics` may not be called there: the callback after that one would abort the process,
as confluent_kafka keeps the state of one such call only (`CallState_end` in its 2.16).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from streamproc.kafka import client, positions
from streamproc.kafka.exactly_once import Membership, membership_of
from streamproc.kafka.host import Drained, Host, Place
from streamproc.kafka.settings import KafkaSourceSettings
from streamproc.kafka.static_name import StaticName

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

_REVOKE_S = 20.0  # what records in flight get when their partition moves, at most
_MOST_OF_POLL = 0.5  # of `max.poll.interval.ms`: who takes all of it is no member any more
_POLL_MS = 300_000  # librdkafka's default of it
_LOOK_S = 1.0
_TIMEOUT_S = 10.0
_STABLE_S = 3.0  # until an open transaction ends: it may be our own, which ends in this thread


class Assignment:
    """The partitions that are ours now, each with the number of its lane: see `exactly_once`."""

    def __init__(self, host: Host, settings: KafkaSourceSettings) -> None:
        self._host = host
        self._settings = settings
        self._kafka = client.load()
        poll_s = client.number(settings.properties, "max.poll.interval.ms", _POLL_MS) / 1000
        self._revoke_s = min(_REVOKE_S, poll_s * _MOST_OF_POLL)
        self._name = StaticName(settings.heartbeat_s, _LOOK_S)
        self._next = 0
        self._held: set[Place] = set()
        # held, or given back as soon as what is in flight is done
        self._owned: dict[Place, int] = {}
        self._lost: set[Place] = set()  # librdkafka holds them, from before we were evicted
        self._paused: set[Place] = set()
        self._membership: Membership | None = None
        self._looked_s = 0.0
        self.partitions: dict[str, list[int]] = {}  # of all topics, whoever has them
        self.lags: dict[Place, int] | None = None  # messages that are there and not fetched
        self.has_begun = False
        self.is_adrift = False  # what the group gave, or took, was not taken or given
        self._is_count_due = False
        self._has_taken = False

    def connect(self, timeout_s: float) -> None:
        """A broker answers, and the topics are there. Raises what is wrong."""
        for topic in self._settings.topics:
            self.partitions[topic] = client.partitions_of(
                self._host.consumer, self._settings.brokers, topic, timeout_s
            )

    def count_if_due(self) -> None:
        """Topics grow; whoever gets an assignment may be told so by that. Not in a callback."""
        if self._is_count_due and self._host.patiently(self._count_again, _TIMEOUT_S):
            self._is_count_due = False

    def _count_again(self) -> None:
        for topic in self._settings.topics:
            found = self._host.consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
            if found.error is not None:
                raise self._kafka.KafkaException(found.error)
            self.partitions[topic] = sorted(found.partitions)

    def begin(self) -> None:
        """Join the group, or take all partitions."""
        self.has_begun = True
        consumer = self._host.consumer
        if self._settings.group is not None:
            consumer.subscribe(
                list(self._settings.topics),
                on_assign=self._of_this_one(self._on_assign),
                on_revoke=self._of_this_one(lambda which: self._on_revoke(which, is_lost=False)),
                on_lost=self._of_this_one(lambda which: self._on_revoke(which, is_lost=True)),
            )
            return
        try:
            ends = positions.ends(consumer, self._whole())
            self._assign_whole()
        except self._kafka.KafkaException as error:
            name = f"kafka://{self._settings.brokers}"
            raise client.map_error(error.args[0], name) from None
        self._take(ends)

    def _assign_whole(self, known: Sequence[TopicPartition] = ()) -> None:
        consumer, begin = self._host.consumer, self._settings.from_
        consumer.assign(positions.placed(consumer, begin, self._whole(), known))

    def _whole(self) -> list[TopicPartition]:
        return [
            self._kafka.TopicPartition(topic, partition)
            for topic, partitions in self.partitions.items()
            for partition in partitions
        ]

    def _of_this_one(
        self, react: Callable[[list[TopicPartition]], None]
    ) -> Callable[[Consumer, list[TopicPartition]], None]:
        """Called back for a consumer: one that is being replaced has nothing to say."""

        def called_back(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if consumer is self._host.consumer:
                react(partitions)

        return called_back

    def has_twin(self) -> bool:
        """Told that our name is somebody else's: whether it is. Else join again."""
        metadata = self._host.consumer.consumer_group_metadata()
        return self._name.has_twin(membership_of(metadata).member, time.monotonic())

    def begin_again(self, replaced: Consumer) -> None:
        """With a new consumer, which holds nothing. A group gives out its partitions anew."""
        self.is_adrift = False
        if self._settings.group is None:
            self._paused.clear()
            known = replaced.position(self._whole())
            self._host.patiently(lambda: self._assign_whole(known))
            return
        self._lose(list(self._owned))
        self._lost.clear()
        self._membership = None
        self.begin()

    @property
    def numbers(self) -> set[int]:
        """Of the lanes that are still ours."""
        return set(self._owned.values())

    def look(self) -> bytes:
        """The group's metadata now. What was ours under another membership is lost by then."""
        metadata: bytes = self._host.consumer.consumer_group_metadata()
        now, before = membership_of(metadata), self._membership
        if self._settings.properties.get("group.protocol") == "consumer":
            now = now._replace(is_static=False)  # its generations are counted otherwise
        if self._owned and before is not None and not before.goes_on_as(now):
            client.log.debug("kafka: %s goes on as %s: partitions are lost", before, now)
            self._lose(list(self._owned))
        self._membership = now
        return metadata

    def _lose(self, places: list[Place]) -> None:
        self._lost |= self._held & set(places)
        self._forget(places)
        if not self._host.is_closing:
            self._host.tell_leaving(places)
            self._host.tell_gone(places)

    def _forget(self, places: Iterable[Place]) -> None:
        for place in places:
            self._held.discard(place)
            self._paused.discard(place)
            self._owned.pop(place, None)

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

    def look_around(self) -> None:
        """Once a second: whether we are still who we were, and how far behind."""
        now = time.monotonic()
        if now < self._looked_s + _LOOK_S:
            return
        self._looked_s = now
        if self._settings.group is not None:
            self._name.looked(membership_of(self.look()).member)
        held = [self._kafka.TopicPartition(*place) for place in self._held]
        self.lags = positions.lags(self._host.consumer, held)

    def is_group_at_end(self) -> bool:
        """Whether others have done all there is; False also when nobody answers."""
        if self._settings.group is None or not self._has_taken or self._is_count_due:
            return False
        consumer = self._host.consumer
        try:
            for each in consumer.committed(self._whole(), timeout=_TIMEOUT_S):
                low, high = consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
                if high > low and each.offset < high:
                    return False
        except self._kafka.KafkaException as raised:
            if not self._host.is_passing(raised.args[0]):
                self._host.fail(raised.args[0])
            return False
        return True

    def _take(self, ends: list[tuple[str, int, int]]) -> None:
        lanes = []
        for topic, partition, end in ends:
            self._next += 1
            self._held.add((topic, partition))
            self._owned[topic, partition] = self._next
            lanes.append((topic, partition, end, self._next))
        self._has_taken = True
        self._host.tell_assigned(lanes)

    # Called back

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self._is_count_due = True
        member = membership_of(self.look()).member

        def assign() -> None:
            consumer = self._host.consumer
            # what was lost without a word, and is ours in this generation again
            lost = set(self._lost)
            again = [self._kafka.TopicPartition(*place) for place in lost]
            new = [*partitions, *again]
            committed = consumer.committed(new, timeout=_STABLE_S)
            placed = positions.placed(consumer, self._settings.from_, new, committed)
            ends = positions.ends(consumer, new)
            if again:
                consumer.incremental_unassign(again)
            consumer.incremental_assign(placed)
            if new:  # librdkafka keeps the pause of an earlier assignment
                consumer.resume(new)
            self._lost -= lost
            self._take(ends)

        if self._host.patiently(assign, self._revoke_s):
            self._name.taken_in(member)
        else:
            self.is_adrift = True

    def _on_revoke(self, partitions: list[TopicPartition], *, is_lost: bool) -> None:
        places = [(each.topic, each.partition) for each in partitions]
        if is_lost:
            self._lose(places)
            self._lost.difference_update(places)
            return
        if not self._host.is_closing:
            self.look()
        drained = self.give_back(places)
        if drained is not None:
            self._wait_for(drained, set(places))
        self.let_go(places)
        try:
            self._host.consumer.incremental_unassign(partitions)
        except self._kafka.KafkaException as error:  # librdkafka, and the group, wait for that
            client.log.debug("kafka: %s", error.args[0].str())
            self.is_adrift = True

    def give_back(self, places: list[Place]) -> Drained | None:
        """Nothing more is begun of them. A future that is done when the rest is written."""
        self._held.difference_update(places)
        self._paused.difference_update(places)
        self._lost.difference_update(places)
        if self._host.is_closing:
            return None
        self._host.tell_leaving(places)
        return self._host.drain(places)

    def let_go(self, places: list[Place]) -> None:
        """From here on they are somebody else's."""
        self._forget(places)
        if not self._host.is_closing:
            self._host.tell_gone(places)

    def _wait_for(self, drained: Drained, places: set[Place]) -> None:
        deadline = time.monotonic() + self._revoke_s
        while not drained.done() and time.monotonic() < deadline and not self._host.is_closing:
            if not places & self._owned.keys():
                break  # lost meanwhile
            self._host.wait_for_job(0.005)
        drained.cancel()
