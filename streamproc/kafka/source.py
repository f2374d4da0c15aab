"""`kafka://` as a source: one lane for each assignment of a partition."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from msgspec import structs

from streamproc.errors import StreamprocError
from streamproc.kafka import client
from streamproc.kafka.batches import batches
from streamproc.kafka.lane import Lane
from streamproc.kafka.message import Message, Properties
from streamproc.kafka.settings import KafkaSourceSettings
from streamproc.kafka.thread import KafkaThread
from streamproc.record import Batch, Failed

MOST_READY = 10_000  # messages that are fetched and not admitted yet
_MOST_OF_LANE = 2_000  # the same for one partition, while the others go on
_PATIENCE_S = 0.5
_LEAVE_S = 10.0


class LaneControl(Protocol):
    """What a source of many lanes has to know of the run, and tells it."""

    def changed(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These are read now."""

    def is_open(self, lane: int) -> bool:
        """Whether the window has room for more of this lane."""

    async def drained(self, lanes: Sequence[int]) -> None:
        """Begin with nothing more of them, and wait until what was begun is written."""

    def drop(self, lanes: Sequence[int]) -> None:
        """What is not written of them is somebody else's work now."""


class KafkaSource:
    """Messages as lines. A partition that is full holds back no other."""

    size_bytes: int | None = None

    def __init__(
        self,
        settings: KafkaSourceSettings,
        *,
        stop_at_end: bool = False,
        connect_timeout_s: float = 10.0,
        one_line: bool = True,
        lane_control: LaneControl | None = None,
    ) -> None:
        """`one_line`: newlines inside of values become spaces, for sinks of lines."""
        self.settings = settings
        self._stop_at_end = stop_at_end
        self._connect_timeout_s = connect_timeout_s
        self._one_line = one_line
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._leaving: dict[tuple[str, int], Lane] = {}
        self.numbered: dict[int, Lane] = {}  # those also that are just being given back
        self._turn: deque[Lane] = deque()
        self._error: StreamprocError | None = None
        self._ready_lines = 0
        self._wake: asyncio.Future[None] | None = None
        self._lane_control = lane_control
        self.thread: KafkaThread | None = None

    async def __aenter__(self) -> Self:
        settings = self.settings
        config: Properties = dict(client.CONSUMER)
        group = settings.group
        properties = dict(settings.properties)
        if properties.get("group.protocol") != "consumer":
            config |= client.CLASSIC
        config["group.id"] = group or f"streamproc-{time.time_ns():x}"
        if settings.instance is not None:
            config["group.instance.id"] = settings.instance
        if settings.from_ is None and group is None:
            begin = "beginning" if self._stop_at_end else "end"
            settings = structs.replace(settings, from_=begin)
        self.thread = KafkaThread(settings, self, config | properties)
        self.thread.start()
        await self.thread.submit(lambda: self._thread.assignment.connect(self._connect_timeout_s))
        await self.thread.submit(self._thread.assignment.begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.thread is not None:
            self.thread.close()
            loop = asyncio.get_running_loop()
            # a broker that was silent for too long need not be told
            leave_s = 0.0 if self.thread.commits.unanswered else _LEAVE_S
            await loop.run_in_executor(None, self.thread.join, leave_s)

    @property
    def _thread(self) -> KafkaThread:
        assert self.thread is not None
        return self.thread

    @property
    def lag(self) -> int | None:
        """Messages of the assigned partitions that are not admitted yet; None if not known."""
        fetched = None if self.thread is None else self.thread.assignment.lags
        return None if fetched is None else sum(fetched.values()) + self._ready_lines

    def lags(self) -> dict[str, int]:
        """The same of each partition, as far as it is known."""
        fetched = {} if self.thread is None else self.thread.assignment.lags or {}
        return {
            f"{lane.topic}/{lane.partition}": fetched[place] + lane.ready_lines
            for place, lane in sorted(self._lanes.items())
            if place in fetched
        }

    @property
    def is_leaving(self) -> bool:
        """Whether a partition waits for what was begun of it to be written."""
        return bool(self._leaving)

    def count_partitions(self, topic: str) -> int:
        """Of an input topic."""
        return len(self._thread.assignment.partitions.get(topic, ()))

    # For the run

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next messages of one partition; None when all are at their end, if they should."""
        while True:
            if self._error is not None:
                raise self._error
            found = self._take()
            if found is not None:
                return found
            if self._is_at_end():
                return None
            self._wake = asyncio.get_running_loop().create_future()
            if self._stop_at_end and not self._lanes:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._wake
                done = self._thread.assignment.is_group_at_end
                if not self._lanes and await self._thread.submit(done):
                    return None
            else:
                await self._wake

    def receive_nowait(self) -> None:
        """Nothing: what is not admitted stays in its topic."""
        return

    def residue(self) -> None:
        """Nothing: messages are whole."""
        return

    def room(self) -> None:
        """The window has room again."""
        self._notify()

    def _take(self) -> tuple[Batch, Failed | None] | None:
        for _ in range(len(self._turn)):
            lane = self._turn[0]
            self._turn.rotate(-1)
            if lane.ready and self._is_open(lane):
                batch, failed = lane.ready.popleft()
                lane.ready_lines -= len(batch)
                self._ready_lines -= len(batch)
                return batch, failed
        return None

    def _is_open(self, lane: Lane) -> bool:
        return self._lane_control is None or self._lane_control.is_open(lane.number)

    def _is_at_end(self) -> bool:
        if not self._stop_at_end or not self._lanes:
            return False
        return all(lane.is_at_end and not lane.ready for lane in self._lanes.values())

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # For the thread: see `Listener`

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched now."""
        stuck = sum(lane.ready_lines for lane in list(self._turn) if lane.full_since is not None)
        return self._ready_lines - stuck >= MOST_READY or self._ready_lines >= 10 * MOST_READY

    def full_partitions(self) -> Sequence[tuple[str, int]]:
        """Partitions that have been full while others are not."""
        now = time.monotonic()
        full = []
        for lane in list(self._turn):
            limit = _MOST_OF_LANE if lane.full_since is None else _MOST_OF_LANE // 2
            if lane.ready_lines < limit:
                lane.full_since = None
                continue
            lane.full_since = lane.full_since or now
            if now - lane.full_since >= _PATIENCE_S:
                full.append((lane.topic, lane.partition))
        return full

    def assigned(self, partitions: Sequence[tuple[str, int, int, int]]) -> None:
        """New lanes."""
        for topic, partition, end, number in partitions:
            lane = Lane(number, topic, partition, end)
            self._lanes[topic, partition] = self.numbered[lane.number] = lane
            self._turn.append(lane)
        self._changed()
        self._notify()

    def received(self, messages: list[Message], ends: Sequence[tuple[str, int, int]]) -> None:
        """Messages in order, of any partitions."""
        lines: list[bytes] = []
        batch: list[Any] = []
        place: tuple[str, int, int] | None = None
        for message in messages:
            here = message.topic(), message.partition(), message.offset()
            if place is None or here != (place[0], place[1], place[2] + 1):
                self._add(batch, lines)
                batch, lines = [], []
            place = here
            batch.append(message)
            lines.append(message.value() or b"")
        self._add(batch, lines)
        for topic, partition, offset in ends:
            if lane := self._lanes.get((topic, partition)):
                lane.is_at_end = True
                lane.end_offset = offset
        self._notify()

    def _add(self, messages: list[Message], lines: list[bytes]) -> None:
        if not messages:
            return
        first = messages[0]
        topic, partition = first.topic(), first.partition()
        lane = self._lanes.get((topic, partition))
        if lane is None:
            return  # it went elsewhere meanwhile
        lane.following = messages[-1].offset() + 1
        lane.is_at_end = lane.is_at_end or first.offset() + len(messages) >= lane.end
        lane.ready += batches(
            lane.number, messages, lines, one_line=self._one_line, meta=self.settings.meta
        )
        lane.ready_lines += len(messages)
        self._ready_lines += len(messages)

    def leaving(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Nothing more will come of them. In step with `assigned`: they may come back at once."""
        for each in partitions:
            if (lane := self._lanes.pop(each, None)) is not None:
                self._leaving[each] = lane
                self._turn.remove(lane)
                self._ready_lines -= lane.ready_lines
                lane.ready.clear()
        self._changed()

    def _changed(self) -> None:
        if self._lane_control is not None:
            self._lane_control.changed(self._lanes)

    async def drained(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Until what was begun of them is written; the rest is for the next owner."""
        if self._lane_control is not None:
            numbers = [self._leaving[each].number for each in partitions if each in self._leaving]
            await self._lane_control.drained(numbers)

    def gone(self, partitions: Sequence[tuple[str, int]]) -> None:
        """They are somebody else's."""
        numbers = [self._leaving.pop(each).number for each in partitions if each in self._leaving]
        if self._lane_control is not None:
            self._lane_control.drop(numbers)
        for number in numbers:
            del self.numbered[number]
        self._notify()

    def failed(self, error: StreamprocError) -> None:
        """It is over."""
        self._error = self._error or error
        self._notify()
