"""Remembers how far the run came: write, flush, (fsync,) checkpoint, acknowledge.

The writer reports what it wrote and where the outputs stand; all else happens beside it,
in a thread where it touches a disk. Writing goes on meanwhile: it only adds to what stands
before the offsets that were noted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from streamproc.checkpoint.acknowledge import Acknowledger
from streamproc.checkpoint.entry import CheckpointFile, Entry
from streamproc.frontier import Frontier
from streamproc.interfaces import UNOBSERVED, ResumableSource, RunObserver, Sink
from streamproc.record import Batch, Cursor, Progress
from streamproc.threads import to_the_end
from streamproc.types import Position

INTERVAL_S = 1.0
MOST_BATCHES = 1000  # between two checkpoints


class CheckpointKeeper:
    """Saves a checkpoint every second or 1 000 batches, and acknowledges what is written.

    Without `file` it only acknowledges, and with `durable` syncs before it does.
    """

    def __init__(
        self,
        *,
        file: CheckpointFile | None,
        pipeline: str,
        source: ResumableSource | None,
        progress: Progress,
        durable: bool = False,
        acknowledger: Acknowledger | None = None,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        self._file = file
        self._pipeline = pipeline
        self._source = source
        self._durable = durable
        self._acknowledger = acknowledger
        self._observer = observer
        self._frontier = Frontier(progress)
        self._sinks: Sequence[Any] = ()  # those with a place are resumable ones
        self._places: list[Any] = []
        self._changed: asyncio.Event = asyncio.Event()
        self._full: asyncio.Event = asyncio.Event()
        self._settled: asyncio.Event = asyncio.Event()
        self._saving = asyncio.Lock()
        self._saved_batches = 0
        self._stopped = False

    @property
    def keeps_rest(self) -> bool:
        """Whether what is not written now is done by a later run, or a script."""
        return self._file is not None or self._acknowledger is not None

    async def begin(self, sink: Sink, dead_letters: Sink | None) -> None:
        """The outputs are open and nothing is written yet. Raises `OutputError`."""
        self._sinks = (sink, dead_letters)
        self.flushed()
        if self._file is not None:
            await self._save()

    def admit(self, batch: Batch) -> None:
        """The next batch of the input."""
        self._frontier.admit(batch)

    def written(self, batch: Batch, start: int, stop: int) -> None:
        """The lines `start` to `stop` of `batch` are written."""
        self._frontier.written(batch, start, stop)

    def flushed(self) -> None:
        """All that `written` told of is flushed, and nothing beyond it was written."""
        self._places = [None if sink is None else sink.place for sink in self._sinks]
        self._changed.set()
        self._settled.set()
        if self._frontier.batches - self._saved_batches >= MOST_BATCHES:
            self._full.set()
        if self._acknowledger is not None and not self._durable:
            self._acknowledger.acknowledge(self._frontier.contiguous)

    async def run(self) -> None:
        """Save a checkpoint now and then, until `stop`. Raises `OutputError`."""
        interval_s = INTERVAL_S if self._file is not None else 0.0
        while True:
            await self._changed.wait()
            if self._stopped:
                return
            begun_s = time.monotonic()
            await self._save()
            with suppress(TimeoutError):
                async with asyncio.timeout(begun_s + interval_s - time.monotonic()):
                    await self._full.wait()

    async def settle(self) -> None:
        """Wait until all that was admitted is written, and save that. Raises `OutputError`."""
        while self._frontier.is_open:
            self._settled.clear()
            await self._settled.wait()
        await self._save()

    def stop(self) -> None:
        """`run` ends soon."""
        self._stopped = True
        self._changed.set()
        self._full.set()

    async def close(self, *, finished: bool) -> None:
        """The last checkpoint, after `run` has ended. Raises `OutputError`."""
        self.flushed()
        await self._save(closed=True, finished=finished)
        if self._acknowledger is not None:
            await self._acknowledger.close()

    async def _save(self, *, closed: bool = False, finished: bool = False) -> None:
        async with self._saving:
            await self._save_alone(closed=closed, finished=finished)

    async def _save_alone(self, *, closed: bool, finished: bool) -> None:
        # these are of one moment: nothing is awaited until all of them are taken
        self._changed.clear()
        self._full.clear()
        cursor, progress = self._frontier.cursor, self._frontier.progress()
        contiguous, places = self._frontier.contiguous, self._places
        self._saved_batches = self._frontier.batches
        if self._file is None and not self._durable:
            return
        # to the end also when cancelled: then the ends that it asks are closed next
        ends = {"closed": closed, "finished": finished}
        await to_the_end(asyncio.ensure_future(self._store(cursor, progress, places, **ends)))
        if self._file is not None:
            self._observer.saved(progress.lines)
        if self._acknowledger is not None and self._durable:
            self._acknowledger.acknowledge(contiguous)

    async def _store(
        self,
        cursor: Cursor | None,
        progress: Progress,
        places: Sequence[Position],
        *,
        closed: bool,
        finished: bool,
    ) -> None:
        positions = [
            None if place is None else await sink.position(place, durable=self._durable)
            for sink, place in zip(self._sinks, places, strict=True)
        ]
        if self._file is None or self._source is None:
            return
        entry = Entry(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            pipeline=self._pipeline,
            closed=closed,
            finished=finished,
            progress=progress,
            input=await self._source.position(cursor),
            output=positions[0],
            dead_letters=positions[1],
        )
        await asyncio.to_thread(self._file.save, entry)
