"""What comes and goes, as far as it is looked at here; confluent_kafka is an extra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

Headers = Sequence[tuple[str, bytes | None]]

Properties = dict[str, Any]
"""Settings of librdkafka's, by its names; what each has to be, only it knows."""


class Message(Protocol):
    """One that was fetched, as confluent_kafka has it; in its own stubs a place may be None."""

    # ruff: noqa: D102 - documented there
    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def error(self) -> KafkaError | None: ...
