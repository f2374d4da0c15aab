"""Whether a consumer hears of brokers that others hear of.

One that was told of no brokers forgets those that it knew, and looks for no others, for good:
https://github.com/confluentinc/librdkafka/issues/5301. A cluster says so when all of its brokers
were silent for longer than their own session, and are let in again one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streamproc.kafka import client

_SILENCE_S, _ANSWER_S = 10.0, 2.0


class Hearing:
    """Asks once in a while in which nothing has come: an empty topic is silent, too."""

    def __init__(self, create: Callable[[], Any], topic: str) -> None:
        self._create = create
        self._topic = topic
        self._heard_s = time.monotonic()

    def heard(self) -> None:
        """A message, the end of a partition, whatever."""
        self._heard_s = time.monotonic()

    def better_one(self, consumer: Any) -> Any | None:
        """Another consumer, if brokers answer that one and not this one. Not in a callback."""
        if time.monotonic() < self._heard_s + _SILENCE_S:
            return None
        found = None
        if not self._is_answered(consumer):
            another = self._create()
            if self._is_answered(another):
                found = another
            else:
                another.close()
        self.heard()
        return found

    def _is_answered(self, consumer: Any) -> bool:
        try:
            consumer.list_topics(self._topic, timeout=_ANSWER_S)
        except client.load().KafkaException as raised:
            client.log.debug("kafka: %s", raised.args[0].str())
            return False
        return True
