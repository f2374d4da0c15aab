"""Whether a client hears of brokers that others hear of.

One that was told of no brokers forgets those that it knew, and looks for no others, for good:
https://github.com/confluentinc/librdkafka/issues/5301. A cluster says so when all of its brokers
were silent for longer than their own session, and are let in again one after the other; and a
broker that is about to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from streamproc.kafka.client import load, log

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

_SILENCE_S = 15.0  # longer than `reconnect.backoff.max.ms`: one that tries again is not deaf
_ANSWER_S = 2.0
_FIRST_ANSWER_S = 5.0  # a new one has to connect first: eight round trips with TLS and a login
_ENOUGH = 2  # times in a row


Client = TypeVar("Client", bound="Consumer | Producer")


class Hearing(Generic[Client]):
    """Asks once in a while in which nothing has come: an empty topic is silent, too."""

    def __init__(self, create: Callable[[], Client], topic: str) -> None:
        self._create = create
        self.topic = topic
        self.heard()

    def heard(self) -> None:
        """A message, the end of a partition, a delivery report, whatever."""
        self._asked_s = time.monotonic()
        self._deaf = 0  # so often only others were answered

    @property
    def is_due(self) -> bool:
        """Whether nothing has come for long enough to ask."""
        return time.monotonic() >= self._asked_s + _SILENCE_S

    def better_one(self, client: Client) -> Client | None:
        """Another client, if brokers answer that one and not this one. Not in a callback."""
        if not self.is_due:
            return None
        if self._is_answered(client, _ANSWER_S):
            self.heard()
            return None
        another = self._create()
        self._deaf = self._deaf + 1 if self._is_answered(another, _FIRST_ANSWER_S) else 0
        self._asked_s = time.monotonic()
        if self._deaf < _ENOUGH:
            another.close()
            return None
        self.heard()
        return another

    def _is_answered(self, client: Client, timeout_s: float) -> bool:
        try:
            client.list_topics(self.topic, timeout=timeout_s)
        except load().KafkaException as raised:
            log.debug("kafka: %s", raised.args[0].str())
            return False
        return True
