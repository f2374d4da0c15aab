"""Inside a worker: where its engine takes lines from, and puts what it finished."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from streamproc.engines.framing import FrameProtocol, Kind, WorkBatch, pack_run, pack_scattered
from streamproc.interfaces import NOBODY, Audience, Follow, Work
from streamproc.memory import LARGE_BYTES, Memory
from streamproc.record import Batch, Note

_MOST_EVENTS = 1000
_AHEAD = 2  # pieces, so that the next one is there when one is done


class _Queue(Work, Protocol):
    def send_nowait(self, batch: Batch) -> None: ...


class Inbox:
    """The lines that are there. Asks for more before it is empty."""

    def __init__(self, queue: _Queue, ahead_lines: int, ask: Callable[[], None]) -> None:
        self._queue = queue
        self._ahead_lines = ahead_lines
        self._ask = ask
        self._lines = 0
        self._pieces = 0
        self._asked = False

    def add(self, piece: WorkBatch) -> None:
        """More lines have come."""
        self._lines += len(piece)
        self._pieces += 1
        self._asked = False
        self._queue.send_nowait(piece)
        self.ask_if_low()

    def ask_if_low(self) -> None:
        """Before what is there runs out; once until more comes."""
        is_low = self._pieces < _AHEAD or self._lines < self._ahead_lines
        if is_low and not self._asked:
            self._asked = True
            self._ask()

    def take(self, most: int = 1) -> tuple[Batch, int, int] | None:
        """See `Work`."""
        taken = self._queue.take(most)
        if taken is not None:
            _, start, stop = taken
            self._lines -= stop - start
            if start == 0:
                self._pieces -= 1
            self.ask_if_low()
        return taken

    def give_back(self, count: int) -> None:
        """See `Work`."""
        self._lines += count
        self._queue.give_back(count)

    @property
    def is_dry(self) -> bool:
        """See `Work`."""
        return self._queue.is_dry

    def on_dry(self, call: Callable[[], None]) -> None:
        """See `Work`."""
        self._queue.on_dry(call)

    async def wait(self) -> bool:
        """See `Work`."""
        return await self._queue.wait()

    async def receive(self) -> Batch | None:
        """See `Work`."""
        batch = await self._queue.receive()
        if batch is not None:
            self._lines -= len(batch)
            self._pieces -= 1
            self.ask_if_low()
        return batch


class EventRelay:
    """The audience in a worker: what is `wanted` is told in the parent, before the answers."""

    def __init__(
        self,
        wire: FrameProtocol,
        wanted: frozenset[type[Struct]],
        followers: Audience = NOBODY,
    ) -> None:
        """`followers` follow records, and do that here."""
        self._wire = wire
        self.wanted = wanted
        self._followers = followers
        self._events: list[Struct] = []

    @property
    def follow(self) -> Follow | None:
        """See `Audience`."""
        return self._followers.follow

    def tell(self, event: Struct) -> None:
        """See `Audience`."""
        self._events.append(event)
        if len(self._events) >= _MOST_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Send what has happened."""
        if self._events:
            events, self._events = self._events, []
            self._wire.send(Kind.EVENTS, pickle.dumps(events))


class Outbox:
    """What is finished, sent at the end of the loop's turn, and events before it."""

    def __init__(self, wire: FrameProtocol, memory: Memory, events: EventRelay) -> None:
        """`memory` counts answers as they come in: results are soon with the parent."""
        self._wire = wire
        self._events = events
        self.memory = memory
        self._single: dict[WorkBatch, list[tuple[int, bytes, Note | None]]] = {}
        self._is_scheduled = False
        self.unseen = 0
        self.counts_failures = False  # the parent does

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """See `Finished`."""
        assert isinstance(batch, WorkBatch)
        self._single.setdefault(batch, []).append((i, line, note))
        self.unseen += 1
        if len(line) > LARGE_BYTES:
            self.flush()  # a frame for each: several at once would be copied together
        else:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """See `Finished`."""
        assert isinstance(batch, WorkBatch)
        self._events.flush()
        if lines:
            self.unseen += len(lines)
            self._wire.send(Kind.RUN, *pack_run(batch, start, lines, notes))
            self._flush_soon()

    def flush(self) -> None:
        """Send what single lines turned into."""
        self._is_scheduled = False
        self.unseen = 0
        self._events.flush()
        finished, self._single = self._single, {}
        for piece, lines in finished.items():
            notes = {place: note for place, (_, _, note) in enumerate(lines) if note is not None}
            parts = pack_scattered(
                piece, [i for i, _, _ in lines], [line for _, line, _ in lines], notes
            )
            self._wire.send(Kind.SCATTERED, *parts)
