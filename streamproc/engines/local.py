"""The engine of this process: consumers that drain the channel in this loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

from streamproc.codec import Document, decoded_bytes
from streamproc.engines import following
from streamproc.engines.busy_loop import BusyLoop
from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.inline import InlineLoop
from streamproc.engines.one_stage import OneStage
from streamproc.engines.pace import Pace
from streamproc.engines.program import Outcome, Program
from streamproc.engines.slot import Slot
from streamproc.engines.state import ABANDONED, IDLE, RUNNING
from streamproc.engines.sweeper import Sweeper
from streamproc.engines.workshop import Workshop
from streamproc.entering import Stacked
from streamproc.errors import Interrupted, Unfinished
from streamproc.interfaces import NOBODY, Audience, Finished, Work, WorkerState
from streamproc.memory import LARGE_BYTES
from streamproc.record import Batch, Failed
from streamproc.threads import LONG_BYTES
from streamproc.waiting import resolve
from streamproc.waits import Allowance, Wait

_T = TypeVar("_T")


class LocalEngine(Stacked):
    """Runs a program with N consumers; a program that never waits runs inline, batch by batch.

    `concurrency` bounds the calls, `most_consumers` the consumers when waiting records lend their
    places. `waits` and `allowances` are those of `Engine`. Of the `audience` only followers are
    told here.
    """

    workers, restarts = 1, 0

    def __init__(
        self,
        program: Program,
        concurrency: int,
        most_consumers: int,
        waits: Callable[[], list[Wait]],
        allowances: Callable[[], list[Allowance]],
        audience: Audience = NOBODY,
    ) -> None:
        self._program = program
        self.waits = waits
        self.allowances = allowances
        self._audience = audience
        self._places = places = CapacityLimiter(concurrency, self._spawn_if_useful)
        self._most = most_consumers
        timeouts_s = [limit for stage in program.stages for limit in stage.limits_s]
        self._busy_loop = BusyLoop(program.stages, program.long_records)
        self._sweeper = Sweeper(timeouts_s, self._busy_loop.late)
        keeps = any(stage.keeps_answers for stage in program.stages)
        self._shop = Workshop(
            places, self._sweeper, program.on_error.run_id, self._fail, keeps_answers=keeps
        )
        self._consumers = 0
        self._idle = 0  # of them; also those that have not run yet
        self._pace = Pace()
        self._one: OneStage | None = None
        self._inline: InlineLoop | None = None
        self._turn_began_s = 0.0
        self._now = time.monotonic
        self._done: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await self._enter_all(stage.enricher for stage in self._program.stages)
        self._program.bind()
        self._one = OneStage.of(self._program)
        return self

    @property
    def is_inline(self) -> bool:
        """Whether it does one record after the other."""
        return self._program.is_inline

    @property
    def abandoned(self) -> int:
        """Calls that ignored their cancellation and still run."""
        return self._shop.abandoned

    @property
    def in_flight(self) -> int:
        """Records that execute a call now."""
        return self._places.taken

    def worker_states(self) -> list[WorkerState]:
        """See `Engine`."""
        return []

    @property
    def busy_since_s(self) -> float | None:
        """When the oldest call in flight began (monotonic clock), None if there is none."""
        return self._sweeper.busy_since_s

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises `TooManyAbandonedError`."""
        self._work, self._finished = work, finished
        if self._program.is_inline:
            slot = Slot(self._shop, self._abandon)
            late, follow = self._busy_loop.late, self._audience.follow
            self._inline = InlineLoop(self._program, slot, late, follow)
            await self._inline.run(work, finished)
            return
        self._done = asyncio.get_running_loop().create_future()
        self._now = asyncio.get_running_loop().time
        self._shop.begin(finished.memory, lambda: work.is_dry or finished.memory.is_short)
        work.on_dry(self._shop.look_at_lists)
        self._sweeper.start()
        try:
            self._spawn()
            await self._done
        finally:
            self._sweeper.stop()
            await self.abort()

    def wind_down(self) -> None:
        """Start nothing new and cut waits short; `run` then ends with lines left open."""
        self._shop.wind_down()
        if self._inline is not None:
            self._inline.wind_down()
        if self._consumers == self._idle:
            resolve(self._done)

    async def abort(self) -> None:
        """Cancel what is in flight and await its cleanup, 2 s at most."""
        await self._shop.abort()

    def thaw(self) -> None:
        """The process was stopped (SIGTSTP) and goes on."""
        self._sweeper.thaw()

    def _spawn(self) -> None:
        slot = Slot(self._shop, self._abandon)
        slot.task = asyncio.create_task(self._consume(slot))
        self._sweeper.slots.add(slot)
        self._consumers += 1
        self._idle += 1
        slot.task.add_done_callback(lambda task: self._left(task, slot))

    def _spawn_if_useful(self) -> None:
        """There is a free place: somebody has to use it, now or when a record comes."""
        is_over = self._shop.is_winding_down or self._shop.is_aborted
        if not self._idle and self._consumers < self._most and not is_over:
            self._spawn()

    def _left(self, task: asyncio.Task[None], slot: Slot) -> None:
        slot.share.close()
        if slot.state is ABANDONED or self._shop.is_aborted:
            return
        self._consumers -= 1
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)
        elif self._consumers == (self._idle if self._shop.is_winding_down else 0):
            resolve(self._done)

    def _fail(self, error: BaseException) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    async def _consume(self, slot: Slot) -> None:
        work, finished, places = self._work, self._finished, self._places
        shop, pace, wanting = self._shop, self._pace, places.wanting
        memory, share = finished.memory, slot.share
        awaited, eager = self._ways(finished)
        self._idle -= 1
        try:
            while not shop.is_winding_down:
                if not slot.has_place:
                    await self._enter(slot)
                    continue
                if memory.held_bytes >= memory.room_bytes and not await self._has_room(slot):
                    continue
                most = 1 if eager is None else eager.row.next(pace.size - finished.unseen)
                taken = work.take(most)
                if taken is None:
                    batch = None  # it may be large, and long in coming is the next one
                    if not await self._rest(slot, work.wait()):
                        return  # the end of input
                    continue
                if not self._idle and places.free:
                    self._spawn_if_useful()
                batch, i, stop = taken
                slot.batch, slot.i = batch, i
                try:
                    if len(batch.lines[i]) > LARGE_BYTES:
                        stop = await self._reserve(slot, batch, i, stop)
                    if eager is None or stop - i < 2:
                        outcome: Outcome | None = await awaited(batch, i, slot)
                    else:
                        i, outcome = await self._begin(eager, batch, i, stop, slot)
                except Unfinished:
                    return  # the run is ending, and this line stays open
                except Interrupted:
                    await asyncio.get_running_loop().create_future()  # the abort is on its way
                if slot.state is ABANDONED:
                    return
                self._finish(batch, i, outcome)
                outcome = b""  # it may be large, and the next record long in coming
                share.close()
                if wanting:
                    slot.release()  # calls that wait are older than the next record
                if finished.unseen == 1:
                    self._turn_began_s = self._now()
                if finished.unseen >= pace.size:
                    await self._end_turn(finished.unseen)
        finally:
            self._sweeper.slots.discard(slot)
            if slot.state is not ABANDONED:
                slot.release()

    def _ways(self, finished: Finished) -> tuple[following.Awaited, OneStage | None]:
        """How a line is finished, and how some at once: not if the next failure may be the last."""
        one, follow = self._one, self._audience.follow
        is_eager = one and one.is_eager and follow is None and not finished.counts_failures
        return following.awaited((one or self._program).awaited, follow), one if is_eager else None

    async def _end_turn(self, records: int) -> None:
        """So many have been finished in it."""
        if records == self._pace.size or self._pace.is_careful:
            self._pace.measured(records, self._now() - self._turn_began_s)
        await asyncio.sleep(0)  # the writer's turn, the reader's, the signals'

    async def _reserve(self, slot: Slot, batch: Batch, i: int, stop: int) -> int:
        """Have memory for a large line, which is done alone; returns the new `stop`."""
        self._work.give_back(stop - i - 1)
        line = batch.lines[i]
        await slot.share.reserve(decoded_bytes(line), is_long=len(line) > LONG_BYTES)
        return i + 1

    async def _begin(
        self, one: OneStage, batch: Batch, start: int, stop: int, slot: Slot
    ) -> tuple[int, Outcome | None]:
        """Finish the lines that were taken until one waits: which, and what becomes of it."""
        if not self._finished.unseen:
            self._turn_began_s = self._now()
        slot.i, rest = one.begin(batch, start, stop, slot, self._finished)
        self._work.give_back(stop - slot.i - (rest is not None))
        return slot.i, None if rest is None else await rest

    async def _enter(self, slot: Slot) -> None:
        slot.state = IDLE
        await self._places.enter()
        slot.granted()
        slot.state = RUNNING

    async def _has_room(self, slot: Slot) -> bool:
        """Whether a new record may be begun though memory is short; if not, after a while."""
        slot.state = IDLE
        if has_room := not self._shop.headroom.holds_back_new():
            slot.state = RUNNING
        else:
            await self._rest(slot, self._shop.headroom.wait_for_turn())
        return has_room

    async def _rest(self, slot: Slot, turn: Awaitable[_T]) -> _T:
        """There is nothing to do for the task of `slot` until `turn`."""
        slot.state = IDLE
        slot.batch = slot.document = None
        self._idle += 1
        slot.release()
        self._shop.look_at_lists()
        result = await turn
        self._idle -= 1
        slot.state = RUNNING
        return result

    def _finish(self, batch: Batch, i: int, outcome: Outcome | None) -> None:
        if isinstance(outcome, bytes):
            self._finished.finish(batch, i, outcome)
        elif outcome is not None:
            self._finished.finish(batch, i, outcome.line, outcome)

    def _abandon(self, slot: Slot) -> None:
        """The task of `slot` does not end: its record fails, and another task takes its place."""
        assert slot.stage is not None
        assert slot.batch is not None
        self._consumers -= 1
        error = slot.abandon()
        failed = Failed(slot.stage.name, error.kind, error.message)
        document = slot.document or Document(slot.batch.lines[slot.i])
        note = self._program.on_error.refuse(failed, slot.batch, slot.i, document)
        self._finish(slot.batch, slot.i, note)
        if self._shop.abandon(slot):
            self._spawn()
