"""The engine of this process: consumers that drain the channel in this loop."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from streamproc.codec import Document
from streamproc.engines.collector import Collector
from streamproc.engines.inline import InlineLoop
from streamproc.engines.one_stage import OneStage
from streamproc.engines.pace import Pace
from streamproc.engines.places import Places
from streamproc.engines.program import Outcome, Program
from streamproc.engines.sweeper import CLEANUP_S, Slot, Sweeper, abandoned_error
from streamproc.errors import Interrupted, TooManyAbandonedError
from streamproc.interfaces import Finished, Work
from streamproc.record import Batch, Failed, Note

log = logging.getLogger("streamproc")

_SLOW_INLINE_S = 0.1


class LocalEngine:
    """Runs a program with N consumers; a program that never waits runs inline, batch by batch.

    `abandoned` counts calls that ignored their cancellation; as many as there are places
    are tolerated. `most_consumers` bounds the consumers when waiting records lend
    their places.
    """

    def __init__(self, program: Program, places: Places, most_consumers: int) -> None:
        self._program = program
        self._places = places
        self._most = most_consumers
        self._consumers: set[asyncio.Task[None]] = set()
        self._collectors: list[Collector] = []
        self._pace = Pace()
        self._one: OneStage | None = None
        self._turn_began_s = 0.0
        self._idle = 0
        self._sweeper = Sweeper([stage.timeout_s for stage in program.stages], self._warn_slow)
        self._warned_slow = False
        self._aborted = False
        self._stack = AsyncExitStack()
        self.abandoned = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for stage in self._program.stages:
                await stack.enter_async_context(stage.enricher)
            self._stack = stack.pop_all()
        self._program.bind()
        self._one = OneStage.of(self._program)
        for k, stage in enumerate(self._program.stages):
            if stage.enricher.gather is not None:
                collector = Collector(stage, self._places, self._sweeper)
                self._collectors.append(collector)
                self._program.gather(k, collector.call)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def in_flight(self) -> int:
        """Records that execute a call now."""
        return self._places.taken

    @property
    def busy_since_s(self) -> float | None:
        """When the oldest call in flight began (monotonic clock), None if there is none."""
        return self._sweeper.busy_since_s

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises `TooManyAbandonedError`."""
        self._work, self._finished = work, finished
        if self._program.is_inline:
            await InlineLoop(self._program, self._warn_slow).run(work, finished)
            return
        self._done = asyncio.get_running_loop().create_future()
        self._places.on_lent = self._spawn_if_useful
        self._sweeper.start()
        try:
            for _ in range(self._places.count):
                self._spawn()
            await self._done
        finally:
            self._sweeper.stop()
            await self.abort()
            self._places.on_lent = lambda: None

    async def abort(self) -> None:
        """Cancel what is in flight and await its cleanup, 2 s at most."""
        self._aborted = True
        self._places.on_lent = lambda: None
        tasks = self._consumers.union(*(collector.calls for collector in self._collectors))
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLEANUP_S)
            self.abandoned += len(stuck)
            self._consumers.clear()
        for slot in self._sweeper.slots:
            slot.abandoned = True

    def thaw(self) -> None:
        """The process was stopped (SIGTSTP) and goes on."""
        self._sweeper.thaw()

    def _warn_slow(self, busy_s: float) -> None:
        if busy_s > _SLOW_INLINE_S and not self._warned_slow:
            self._warned_slow = True
            names = ", ".join(stage.name for stage in self._program.stages)
            log.warning(
                "stage %s kept the event loop busy for %.0f ms; blocking code cannot be timed "
                "out or run side by side: mark it @streamproc.enricher(blocking=True), "
                "or make it `async def`",
                names,
                busy_s * 1000,
            )

    def _spawn(self) -> None:
        slot = Slot(self._abandon)
        slot.task = asyncio.create_task(self._consume(slot))
        self._sweeper.slots.add(slot)
        self._consumers.add(slot.task)
        slot.task.add_done_callback(self._left)

    def _spawn_if_useful(self) -> None:
        """A record lent its place: somebody has to use it, now or when a record comes."""
        if not self._idle and len(self._consumers) < self._most and not self._aborted:
            self._spawn()

    def _left(self, task: asyncio.Task[None]) -> None:
        self._consumers.discard(task)
        if self._done.done() or self._aborted:
            return
        if not task.cancelled() and (error := task.exception()):
            self._done.set_exception(error)
        elif not self._consumers:
            self._done.set_result(None)

    async def _consume(self, slot: Slot) -> None:
        work, finished, places = self._work, self._finished, self._places
        pace = self._pace
        awaited = (self._one or self._program).awaited
        await places.enter()
        try:
            while True:
                taken = work.take()
                if taken is None:
                    places.leave()
                    self._idle += 1
                    more = await work.wait()
                    self._idle -= 1
                    await places.enter()
                    if not more:
                        return
                    continue
                slot.batch, slot.i = batch, i = taken
                try:
                    outcome = await awaited(batch, i, slot)
                except Interrupted:
                    await asyncio.get_running_loop().create_future()  # the abort is on its way
                if slot.abandoned:
                    return
                if type(outcome) is bytes:
                    finished.finish(batch, i, outcome)
                else:
                    self._finish(batch, i, outcome)
                unseen = finished.unseen
                if unseen == 1:
                    self._turn_began_s = time.monotonic()
                if unseen >= pace.size:
                    if unseen == pace.size:
                        pace.measured(unseen, time.monotonic() - self._turn_began_s)
                    await asyncio.sleep(0)  # the writer's turn, the reader's, the signals'
        finally:
            self._sweeper.slots.discard(slot)
            if not slot.abandoned:
                places.leave()

    def _finish(self, batch: Batch, i: int, outcome: Outcome) -> None:
        if type(outcome) is bytes:
            self._finished.finish(batch, i, outcome)
        else:
            assert isinstance(outcome, Note)
            self._finished.finish(batch, i, outcome.line, outcome)

    def _abandon(self, slot: Slot) -> None:
        """The call of `slot` ignored its cancellation: go on without its task."""
        assert slot.stage is not None
        assert slot.task is not None
        assert slot.batch is not None
        self.abandoned += 1
        self._consumers.discard(slot.task)
        error = abandoned_error(slot.stage.timeout_s)
        failed = Failed(slot.stage.name, error.kind, error.message)
        document = slot.document or Document(slot.batch.lines[slot.i])
        note = self._program.on_error.refuse(failed, slot.batch, slot.i, document)
        self._finish(slot.batch, slot.i, note)
        if self.abandoned > self._places.count:
            message = f"{self.abandoned} calls ignored their cancellation and still run"
            if not self._done.done():
                self._done.set_exception(TooManyAbandonedError(message))
            return
        self._places.leave()
        self._spawn()
