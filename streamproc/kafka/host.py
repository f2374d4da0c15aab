"""What an assignment asks of the Kafka thread."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

Place = tuple[str, int]  # topic and partition
Drained = Future[None]
"""Done when what was begun of some partitions is written."""


class Host(Protocol):
    """The thread."""

    consumer: Any
    is_closing: bool

    def tell_assigned(self, partitions: list[tuple[str, int, int, int]]) -> None:
        """Topic, partition, the offset that is its end now, and the number of the lane."""

    def tell_leaving(self, partitions: list[Place]) -> None:
        """Nothing more will come of them, and nothing more shall be begun."""

    def drain(self, partitions: list[Place]) -> Drained:
        """When they may go."""

    def tell_gone(self, partitions: list[Place]) -> None:
        """They are somebody else's."""

    def is_passing(self, error: KafkaError) -> bool:
        """Whether it goes when the broker is back."""

    def fail(self, error: KafkaError) -> None:
        """It is over."""

    def wait_for_job(self, seconds: float) -> None:
        """Do one, if one comes."""

    def patiently(self, attempt: Callable[[], None], longest_s: float = math.inf) -> bool:
        """Until it is done: brokers may just be away. False when it was given up, or the run."""
