"""A partition while it is ours, and how far what was made of it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from streamproc.kafka.host import Place
from streamproc.kafka.outgoing import Spans
from streamproc.record import Batch, Failed


class Lane:
    """A partition while it is assigned."""

    def __init__(self, number: int, topic: str, partition: int, end: int) -> None:
        self.number = number
        self.topic = topic
        self.partition = partition
        self.end = end  # the offset that was its end when it was assigned
        self.is_at_end = False
        self.following = -1  # the offset after the last message that was received
        self.end_offset = -1  # the last end that was reached, control records included
        self.ready: deque[tuple[Batch, Failed | None]] = deque()
        self.ready_lines = 0
        self.full_since: float | None = None


def offsets_after(spans: Spans, lanes: Mapping[int, Lane]) -> dict[Place, int]:
    """Counted per lane: `position()` would cover what is still in flight."""
    following: dict[Place, int] = {}
    for batch, _, stop in spans:
        lane = lanes[batch.lane]
        place = lane.topic, lane.partition
        following[place] = max(following.get(place, -1), batch.cursor.offset + stop)
    return following
