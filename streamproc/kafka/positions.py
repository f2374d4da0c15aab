"""Where to begin in each partition. All of it runs in the Kafka thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamproc.errors import UnavailableError
from streamproc.kafka import client
from streamproc.kafka.message import Message

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

_TIMEOUT_S = 10.0


def placed(
    consumer: Consumer,
    begin: str | None,
    partitions: list[TopicPartition],
    committed: Sequence[TopicPartition] = (),
) -> list[TopicPartition]:
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


def after_gap(consumer: Consumer, message: Message, *, stops: bool) -> None:
    """`message` says that its offset is out of range: what was there is deleted."""
    from confluent_kafka import TopicPartition

    topic, partition, wanted = message.topic(), message.partition(), message.offset()
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
    if wanted <= high:
        text = f"offset {wanted} is gone: {max(0, low - wanted)} messages lost"
    else:
        text = f"offset {wanted} is beyond the end, {high}: it is not the topic that it was"
    text = f"kafka: {topic}/{partition}: {text}"
    if stops:
        raise UnavailableError(f"{text}; on_gap is stop")
    client.log.warning("%s; going on with the earliest", text)
    # not `seek`: the partition has stopped, and that is no state to seek in
    consumer.incremental_unassign([TopicPartition(topic, partition)])
    consumer.incremental_assign([TopicPartition(topic, partition, low)])


def ends(consumer: Consumer, partitions: list[TopicPartition]) -> list[tuple[str, int, int]]:
    """Topic, partition, and the offset that is its end now."""
    found = []
    for each in partitions:
        _, end = consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
        found.append((each.topic, each.partition, end))
    return found


def lags(consumer: Consumer, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """Messages that are there and not fetched, as far as it is known without asking."""
    counts = {}
    for each in partitions:
        _, high = consumer.get_watermark_offsets(each, cached=True)
        [position] = consumer.position([each])
        behind = max(0, high - position.offset) if position.offset >= 0 else 0
        counts[each.topic, each.partition] = behind
    return counts


def _first(begin: str, at_time: int | None) -> int | None:
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END

    if begin in ("committed", "beginning"):
        return int(OFFSET_BEGINNING)
    if begin == "end":
        return int(OFFSET_END)
    return at_time  # None: the last N


def _offsets_at(
    consumer: Consumer, partitions: list[TopicPartition], when: str
) -> dict[tuple[str, int], int]:
    from datetime import datetime

    from confluent_kafka import TopicPartition

    ms = int(datetime.fromisoformat(when).timestamp() * 1000)
    asked = [TopicPartition(each.topic, each.partition, ms) for each in partitions]
    found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
    return {(each.topic, each.partition): each.offset for each in found}
