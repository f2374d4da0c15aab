"""One run, from the first batch to the last account."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from streamproc.counters import RunCounters
from streamproc.errors import AccountingError, ReaderGoneError, StreamprocError, worst_of
from streamproc.interfaces import (
    UNOBSERVED,
    Engine,
    ErrorPolicy,
    ProgressTracker,
    RunObserver,
    Sink,
    Source,
)
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.dead_letters import DeadLetterWriter
from streamproc.pipeline.lanes import Lanes
from streamproc.pipeline.messages import MessageWriter
from streamproc.pipeline.producer import Producer
from streamproc.pipeline.reorder import ReorderBuffer, UnorderedBuffer
from streamproc.pipeline.selection import Selection
from streamproc.pipeline.shutdown import Level, Shutdown
from streamproc.pipeline.writer import Writer
from streamproc.record import (
    BLANK,
    BLANK_NOTE,
    UNPROCESSED,
    UNSELECTED,
    UNSELECTED_NOTE,
    WHITESPACE,
    Batch,
    Cursor,
    Failed,
    Note,
    Progress,
)
from streamproc.waiting import resolve

log = logging.getLogger("streamproc")

QUEUE_BATCHES = 64  # the window is the real bound; this one keeps single lines from piling up
FLUSH_TIMEOUT_S = 2.0  # what an abort grants to a reader that does not read


class Run:
    """Producer, engine and writer as three tasks, and what happens when one of them ends badly.

    After `run`: `tally` counts, `failures` has what failed, `errors` are the facts that ended the
    run early, and `lost_from` is where the first record stood that is neither written nor
    dead-lettered.
    """

    def __init__(
        self,
        *,
        source: Source,
        engine: Engine,
        sink: Sink,
        dead_letters: Sink | None,
        forms: ErrorPolicy,
        window: CreditLimit,
        shutdown: Shutdown,
        ordered: bool = True,
        max_errors: int | None = None,
        keeper: ProgressTracker | None = None,
        progress: Progress | None = None,
        selection: Selection | None = None,
        observer: RunObserver = UNOBSERVED,
        is_mistaken: Callable[[], bool] = lambda: False,
    ) -> None:
        """`progress`: what an earlier run has done, behind which the source goes on.

        `is_mistaken`: whether it did what nobody meant, whatever the records did; asked at its end.
        """
        before = progress or Progress()
        records = before.lines - before.blank
        chosen = records if selection is None else selection.advance(records)
        self.tally = RunCounters(
            before.lines, before.blank, skipped=chosen, unselected=records - chosen
        )
        self.errors: list[BaseException] = []
        self.lost_from: Cursor | None = None
        self.lost = 0
        self.window = window
        self.engine = engine
        self._source = source
        self._dead_letters = dead_letters
        self.forms = forms
        self._shutdown = shutdown
        self._keeper = keeper
        self._stopped = False
        self._is_mistaken = is_mistaken
        self._letters = DeadLetterWriter(dead_letters, self.errors)
        self._channel = Channel(QUEUE_BATCHES)
        self._observer = observer
        buffer = ReorderBuffer if ordered else UnorderedBuffer
        self.reorder = buffer(window.memory, observer.run_id)
        self.failures = self.reorder.failures
        self._producer = Producer(
            source, window, self._channel, self.reorder, self.tally, forms.refuse, keeper,
            before.done, selection, observer,
        )  # fmt: skip
        ends = sink, dead_letters
        kind: Any = MessageWriter if sink.takes_messages else Writer
        self._writer: Writer = kind(self.reorder, window, *ends, self.tally, keeper, observer)
        if max_errors is not None:
            self.reorder.count_failures(max_errors, self._last_failure)
        self.lanes = Lanes(
            self._producer, self._channel, self.reorder, self._writer, window, self.tally
        )

    async def run(self) -> None:
        """Never raises what ends a stream: that goes to `errors`."""
        aborted = asyncio.get_running_loop().create_future()
        producer = asyncio.create_task(self._producer.run(), name="producer")
        engine = asyncio.create_task(self.engine.run(self._channel, self.reorder), name="engine")
        writer = asyncio.create_task(self._writer.run(), name="writer")
        self._shutdown.listen(self._drain, lambda: resolve(aborted), self.engine.wind_down)
        tasks: set[asyncio.Future[None]] = {producer, engine, writer}
        keeping: asyncio.Task[None] | None = None
        if self._keeper is not None:
            tasks.add(keeping := asyncio.create_task(self._keeper.run(), name="keeper"))
        try:
            if await self._flow(producer, engine, writer, keeping or aborted, aborted):
                await self._account_for(self.reorder.leftovers())  # of lanes that are leaving
            else:
                await self._abort(producer, engine, writer)
            self.lanes.close()
            await self._keep_residue()
            if self._keeper is not None and keeping is not None:
                await self._close(self._keeper, keeping)
        finally:
            self._shutdown.close()
            aborted.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.tally.received != self.tally.ended:
            self.errors.append(AccountingError(f"records are not accounted for: {self.tally}"))

    @property
    def exit_code(self) -> int:
        """As `errors.EXIT_CODES` lists them."""
        codes = {getattr(error, "exit_code", 1) for error in self.errors}
        if self._shutdown.level is Level.ABORT and self.tally.unprocessed:
            codes.add(75)
        if self._shutdown.signal is not None:
            codes.add(128 + self._shutdown.signal)
        if self._stopped:
            codes.add(4)
        if self.tally.errors or (self._shutdown.is_over and self._is_mistaken()):
            codes.add(3)
        return worst_of(codes)

    def _drain(self) -> None:
        self._observer.draining(self.window.used_records)
        self._producer.stop()

    async def _flow(
        self,
        producer: asyncio.Task[None],
        engine: asyncio.Task[None],
        writer: asyncio.Task[None],
        keeping: asyncio.Future[None],
        aborted: asyncio.Future[None],
    ) -> bool:
        """The good case. False if something ended that should not have."""
        waiting: set[asyncio.Future[None]] = {producer, engine, writer, keeping, aborted}
        try:
            while writer in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self.errors += filter(None, [task.exception() for task in done - {aborted}])
                # an input that fails is an early end of input: what was read is finished
                if aborted in done or any(getattr(e, "exit_code", 1) != 66 for e in self.errors):
                    return False
                if engine in done:
                    if self._is_open():
                        if not self._stopped:  # it was wound down: nothing comes of waiting longer
                            self._shutdown.abort()
                        return False
                    self.reorder.close()
        except Exception as error:  # no memory, or a bug: the account stands all the same
            self.errors.append(error)
            return False
        return True

    def _is_open(self) -> bool:
        """Whether lines that were read have no result."""
        return self._producer.has_rest or any(
            batch.results[i] is None and batch.lane not in self.lanes.recalled
            for batch, i in self.reorder.leftovers()
        )

    def _last_failure(self, batch: Batch, i: int, note: Note) -> None:
        """As many records have failed as may: no call is begun any more, what is begun ends."""
        self._stopped = True
        place = batch.cursor
        log.error("stopped at %s, line %d: %s", place.file, place.line + i, note.failed)
        self._producer.stop()
        self.engine.wind_down()

    async def _abort(
        self,
        producer: asyncio.Task[None],
        engine: asyncio.Task[None],
        writer: asyncio.Task[None],
    ) -> None:
        producer.cancel()
        await asyncio.wait({producer})
        await self.engine.abort()
        engine.cancel()
        await asyncio.wait({engine})
        self._producer.admit_rest()
        if not writer.done():
            self._finish_unfinished()
            await asyncio.wait({writer}, timeout=FLUSH_TIMEOUT_S)
            writer.cancel()
            await asyncio.wait({writer})
            error = None if writer.cancelled() else writer.exception()
            if error is not None and error not in self.errors:
                self.errors.append(error)
        await self._account_for(chain(self._writer.leftovers(), self.reorder.leftovers()))

    async def _close(self, keeper: ProgressTracker, keeping: asyncio.Task[None]) -> None:
        """What was written is kept, however the run ended."""
        keeper.stop()
        is_whole = not self.errors and self._shutdown.level is Level.NONE and not self._stopped
        try:
            await asyncio.wait({keeping})
            await keeper.close(finished=is_whole)
        except StreamprocError as error:
            if error not in self.errors:
                self.errors.append(error)

    def _finish_unfinished(self) -> None:
        failed = Failed("shutdown", "shutdown", "not finished when the run ended early", 0)
        for batch, i in () if self._keeps_rest else list(self.reorder.leftovers()):
            if batch.results[i] is None:
                note = self._abandon(failed, batch, i, to_stdout=True)
                self.reorder.finish(batch, i, note.line, note)
        self.reorder.close()

    def _abandon(self, failed: Failed, batch: Batch, i: int, *, to_stdout: bool) -> Note:
        if batch.passed and batch.passed[i]:
            return UNSELECTED_NOTE
        # with a note it is a line whose end is known already, maybe a too-long one
        if not batch.lines[i].strip(WHITESPACE) and batch.notes.get(i, BLANK_NOTE).status == BLANK:
            return BLANK_NOTE
        if self._keeps_rest:
            return Note(UNPROCESSED)
        note = self.forms.abandon(failed, batch, i, to_stdout=to_stdout)
        if not note.line and note.dead_letter is None:
            self._lose(batch, i)
        return note

    def _lose(self, batch: Batch, i: int) -> None:
        self.lost += 1
        self.lost_from = self.lost_from or batch.cursor._replace(line=batch.cursor.line + i)

    async def _account_for(self, unwritten: Iterable[tuple[Batch, int]]) -> None:
        """What the sink did not take goes to the dead-letter file, if that one still works."""
        reason = next((str(e) for e in self.errors), "the reader does not read")
        failed = Failed("shutdown", "sink", f"not written: {reason}", 0)
        for batch, i in unwritten:
            earlier = None if self._keeps_rest else batch.notes.get(i)
            note = earlier or self._abandon(failed, batch, i, to_stdout=False)
            if note.status in (BLANK, UNSELECTED):
                self.tally.count(note)
                continue
            self.tally.unprocessed += 1
            self._observer.ended(batch, i, Note(UNPROCESSED))
            if earlier is not None and earlier.dead_letter is None:
                note = self._abandon(failed, batch, i, to_stdout=False)
            if note.dead_letter is not None and not await self._letters.take(note.dead_letter):
                self._lose(batch, i)

    async def _keep_residue(self) -> None:
        residue = None if self._producer.is_full else self._source.residue()
        if residue is not None and self._dead_letters is not None and not self._keeps_rest:
            batch, failed = residue
            note = self.forms.abandon(failed, batch, 0, to_stdout=False)
            if note.dead_letter is not None:
                await self._letters.take(note.dead_letter)

    @property
    def _keeps_rest(self) -> bool:
        return self._keeper is not None and self._keeper.keeps_rest

    @property
    def silent(self) -> bool:
        """Whether it ended because nobody reads: then nothing is said, as `yes | head` does."""
        return any(isinstance(e, ReaderGoneError) for e in self.errors)
