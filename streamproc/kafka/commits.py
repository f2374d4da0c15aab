"""Offsets that are on their way to the group's coordinator. Nobody waits in a call of these.

A synchronous commit has no time limit: it lasts as long as a broker is silent, three times
`socket.timeout.ms`, which is three minutes. All of it runs in the Kafka thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from streamproc.kafka import client
from streamproc.kafka.assignment import Assignment
from streamproc.kafka.host import Host, Place

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, TopicPartition


class Commits:
    """Of the consumer of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._unanswered = 0
        self.answer: Future[KafkaError | None] = Future()
        """Of the last one: what is wrong with it. Done when none is on its way."""
        self.answer.set_result(None)
        self.confirmed: dict[Place, int] = {}  # by the broker

    def send(
        self, places: Mapping[int, TopicPartition], assignment: Assignment
    ) -> list[TopicPartition]:
        """By lane, those that are ours still; returns them. A later poll hears the answer."""
        assignment.look()
        ours = [each for number, each in places.items() if number in assignment.numbers]
        if ours:
            self._host.consumer.commit(offsets=ours, asynchronous=True)
            self._unanswered += 1
            if self.answer.done():
                self.answer = Future()
        return ours

    def send_and_look(
        self, places: Mapping[int, TopicPartition], assignment: Assignment, timeout_s: float
    ) -> bool:
        """The same, and whether the group has them then: in a callback nothing is polled.

        A broker answers one after the other. Raises when it is silent for `timeout_s`.
        """
        ours = self.send(places, assignment)
        if not ours:
            return True
        found = self._host.consumer.committed(ours, timeout=timeout_s)
        return [each.offset for each in found] == [each.offset for each in ours]

    def answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Called back: what nobody waits for may be lost when the broker goes."""
        if error is None:
            good = [each for each in places if each.error is None]
            self.confirmed |= {(each.topic, each.partition): each.offset for each in good}
        self._unanswered = max(0, self._unanswered - 1)
        if not self._unanswered and not self.answer.done():
            self.answer.set_result(error)

    def give_up(self) -> None:
        """The consumer is gone, and with it the answers."""
        if self._unanswered:
            self._unanswered = 0
            code = client.load().KafkaError
            self.answer.set_result(code(code._DESTROY))
