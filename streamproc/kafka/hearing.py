"""Whether a consumer hears of brokers that others hear of.

One that was told of no brokers forgets those that it knew, and looks for no others, for good:
https://github.com/confluentinc/librdkafka/issues/5301. A cluster says so when all of its brokers
were silent for longer than their own session, and are let in again one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from streamproc.kafka import client

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_SILENCE_S = 15.0  # longer than `reconnect.backoff.max.ms`: one that tries again is not deaf
_ANSWER_S = 2.0
_ENOUGH = 2  # times in a row


class Hearing:
    """Asks once in a while in which nothing has come: an empty topic is silent, too."""

    def __init__(self, create: Callable[[], Consumer], topic: str) -> None:
        self._create = create
        self._topic = topic
        self.heard()

    def heard(self) -> None:
        """A message, the end of a partition, whatever."""
        self._asked_s = time.monotonic()
        self._deaf = 0  # so often only others were answered

    def better_one(self, consumer: Consumer) -> Consumer | None:
        """Another consumer, if brokers answer that one and not this one. Not in a callback."""
        if time.monotonic() < self._asked_s + _SILENCE_S:
            return None
        if self._is_answered(consumer):
            self.heard()
            return None
        another = self._create()
        self._deaf = self._deaf + 1 if self._is_answered(another) else 0
        self._asked_s = time.monotonic()
        if self._deaf < _ENOUGH:
            another.close()
            return None
        self.heard()
        return another

    def _is_answered(self, consumer: Consumer) -> bool:
        try:
            consumer.list_topics(self._topic, timeout=_ANSWER_S)
        except client.load().KafkaException as raised:
            client.log.debug("kafka: %s", raised.args[0].str())
            return False
        return True
