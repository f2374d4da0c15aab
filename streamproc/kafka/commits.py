"""Offsets that are on their way to the group's coordinator. Nobody waits in a call of these.

A synchronous commit has no time limit: it lasts as long as a broker is silent, three times
`socket.timeout.ms`, which is three minutes. All of it runs in the Kafka thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streamproc.kafka.assignment import Assignment
from streamproc.kafka.host import Host, Place

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, TopicPartition


class Commits:
    """Of the consumer of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.unanswered = 0
        self.error: KafkaError | None = None  # the last answer
        self.confirmed: dict[Place, int] = {}  # by the broker

    def send(
        self, places: Mapping[int, TopicPartition], assignment: Assignment
    ) -> list[TopicPartition]:
        """By lane, those that are ours still; returns them. A later poll hears the answer."""
        assignment.look()
        ours = [each for number, each in places.items() if number in assignment.numbers]
        if ours:
            self._host.consumer.commit(offsets=ours, asynchronous=True)
            self.unanswered += 1
        return ours

    def send_and_look(
        self, places: Mapping[int, TopicPartition], assignment: Assignment, timeout_s: float
    ) -> bool:
        """The same, and whether the group has them then: in a callback no poll would hear.

        A broker answers one after the other. Raises when it is silent for `timeout_s`.
        """
        ours = self.send(places, assignment)
        if ours:
            found = self._host.consumer.committed(ours, timeout=timeout_s)
            if [each.offset for each in found] != [each.offset for each in ours]:
                return False
            self.unanswered = 0
        return True

    def answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Called back: what nobody waits for may be lost when the broker goes."""
        self.unanswered = max(0, self.unanswered - 1)
        self.error = error
        if error is None:
            good = [each for each in places if each.error is None]
            self.confirmed |= {(each.topic, each.partition): each.offset for each in good}

    def give_up(self) -> None:
        """The consumer is gone, and with it the answers."""
        self.unanswered = 0
