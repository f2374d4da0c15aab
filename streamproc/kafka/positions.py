"""Where to begin in each partition. All of it runs in the Kafka thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamproc.errors import UnavailableError
from streamproc.kafka import client

_TIMEOUT_S = 10.0


def placed(
    consumer: Any, begin: str | None, partitions: list[Any], committed: Sequence[Any] = ()
) -> list[Any]:
    """`partitions`, each with its offset: what is committed, else what `begin` says."""
    from confluent_kafka import TopicPartition

    begin = begin or "committed"
    known = {(each.topic, each.partition): each.offset for each in committed}
    times: dict[tuple[str, int], int] = {}
    if begin[:1].isdigit():
        times = _offsets_at(consumer, partitions, begin)
    out = []
    for each in partitions:
        place = each.topic, each.partition
        offset: int | None = known.get(place, -1)
        if offset is None or offset < 0:
            offset = _first(begin, times.get(place))
        if offset is None:
            low, high = consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
            offset = max(low, high + int(begin))
        out.append(TopicPartition(each.topic, each.partition, offset))
    return out


def after_gap(consumer: Any, topic: str, partition: int, *, stops: bool) -> None:
    """The offset to begin at is out of range: what was there is deleted."""
    from confluent_kafka import TopicPartition

    place = TopicPartition(topic, partition)
    low, _ = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
    known = consumer.committed([place], timeout=_TIMEOUT_S)[0].offset
    lost = f"{max(0, low - known)} messages" if known >= 0 else "an unknown number of messages"
    text = f"kafka: {topic}/{partition}: the offset to begin at is gone: {lost} lost"
    if stops:
        raise UnavailableError(f"{text}; on_gap is stop")
    client.log.warning("%s; going on with the earliest", text)
    consumer.seek(TopicPartition(topic, partition, low))


def _first(begin: str, at_time: int | None) -> int | None:
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END

    if begin in ("committed", "beginning"):
        return int(OFFSET_BEGINNING)
    if begin == "end":
        return int(OFFSET_END)
    return at_time  # None: the last N


def _offsets_at(consumer: Any, partitions: list[Any], when: str) -> dict[tuple[str, int], int]:
    from datetime import datetime

    from confluent_kafka import TopicPartition

    ms = int(datetime.fromisoformat(when).timestamp() * 1000)
    asked = [TopicPartition(each.topic, each.partition, ms) for each in partitions]
    found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
    return {(each.topic, each.partition): each.offset for each in found}
