"""Programs that never wait: whole batches, in the engine's own task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from streamproc.codec import verbatim
from streamproc.engines import following
from streamproc.engines.busy_loop import NOTICED_S
from streamproc.engines.one_stage import OneStage
from streamproc.engines.pace import TURN_S, Pace
from streamproc.engines.program import Outcome, Program, keep, keep_among_empty
from streamproc.engines.run_delay import RunDelay
from streamproc.engines.slot import Slot
from streamproc.engines.sweeper import Sweeper
from streamproc.errors import Interrupted
from streamproc.interfaces import Finished, Follow, Work
from streamproc.memory import Memory
from streamproc.record import Batch, Note
from streamproc.threads import LONG_BYTES

_SHORT_S = 0.02  # while memory is short: how often to look whether results were written
_SLOW_S = 0.2  # a turn this long was one long call, not many short ones


class InlineLoop:
    """Takes batches and finishes them in turns of the loop; `warn_slow` hears of long calls.

    A long record has a turn of its own, in `slot`, and others of the loop meanwhile.
    """

    def __init__(
        self,
        program: Program,
        slot: Slot,
        warn_slow: Callable[[float], None],
        follow: Follow | None = None,
    ) -> None:
        self._program = program
        self._slot = slot
        self._sweeper = Sweeper([], warn_slow)
        self._warn_slow = warn_slow
        self._pace = Pace()
        self._delay = RunDelay()
        one_stage = OneStage.of(program)
        some = one_stage.inline if one_stage is not None else self._each
        self._some = following.inline_some(some, program.inline, follow)
        self._one = following.inline(program.inline, follow)
        self._long = following.awaited(program.awaited, follow)
        self._looks_at_none = not program.stages and follow is None  # of the records
        self._is_over = False

    def wind_down(self) -> None:
        """No call is begun any more."""
        self._is_over = True

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input."""
        self._slot.task = asyncio.current_task()
        self._slot.may_start = True
        try:
            await self._run(work, finished)
        finally:
            self._delay.close()

    async def _run(self, work: Work, finished: Finished) -> None:
        while not self._is_over and (batch := await work.receive()) is not None:
            if self._looks_at_none and self._pass_on(batch, finished):
                await asyncio.sleep(0)
                continue
            done = 0
            try:
                while done < len(batch) and not self._is_over:
                    if (stop := self._stop(batch, done)) > done:
                        done = self._turn(batch, done, stop, finished)
                    else:
                        await self._alone(batch, done, finished)
                        done += 1
                    await asyncio.sleep(0)  # the writer's turn, the reader's, the signals'
                    await _written(finished.memory)
            except Interrupted:
                await asyncio.get_running_loop().create_future()  # the abort is on its way

    def _pass_on(self, batch: Batch, finished: Finished) -> bool:
        """Finish `batch` if each of its records goes out as it is; False if one may not."""
        lines: list[bytes] = []
        notes: dict[int, Note] = {}
        done = verbatim([line for line in batch.lines if line] if batch.passed else batch.lines)
        if done is None:
            return False
        if batch.passed:
            keep_among_empty(batch.lines, 0, done, lines, notes)
        finished.finish_run(batch, 0, lines or done, notes)
        return True

    def _stop(self, batch: Batch, start: int) -> int:
        """Where a turn of the loop that begins at line `start` ends: a long line is in none."""
        stop = min(len(batch), start + self._pace.size)
        if batch.n_bytes <= LONG_BYTES or not self._program.stages:
            return stop
        return next((i for i in range(start, stop) if len(batch.lines[i]) > LONG_BYTES), stop)

    async def _alone(self, batch: Batch, i: int, finished: Finished) -> None:
        """Finish line i, a long one."""
        self._sweeper.start()
        try:
            outcome = await self._long(batch, i, self._slot)
        finally:
            self._sweeper.stop()
        _finish(finished, batch, i, outcome)

    def _turn(self, batch: Batch, start: int, stop: int, finished: Finished) -> int:
        """The lines `start` to `stop` in one turn of the loop; returns where to go on."""
        begun_s = time.monotonic()
        self._delay.begin(begun_s)
        if finished.counts_failures:
            return self._one_by_one(batch, start, stop, finished)
        lines: list[bytes] = []
        notes: dict[int, Note] = {}
        try:
            self._some(batch, start, stop, lines, notes)
        finally:  # also what was done before an interruption
            finished.finish_run(batch, start, lines, notes)
        elapsed_s = time.monotonic() - begun_s
        is_one_call = stop - start == 1 or elapsed_s > _SLOW_S
        busy_s = elapsed_s if is_one_call else 0.0
        self._warn_slow(busy_s - self._delay.since_last_s() if busy_s > NOTICED_S else busy_s)
        self._pace.measured(stop - start, elapsed_s)
        return stop

    def _each(
        self, batch: Batch, start: int, stop: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        inline = self._program.inline
        for i in range(start, stop):
            keep(inline(batch, i), i, lines, notes)

    def _one_by_one(self, batch: Batch, start: int, stop: int, finished: Finished) -> int:
        """So that no call is made after the last failure that is allowed."""
        until_s = time.monotonic() + TURN_S
        for i in range(start, stop):
            _finish(finished, batch, i, self._one(batch, i))
            if self._is_over or time.monotonic() > until_s:
                return i + 1
        return stop


def _finish(finished: Finished, batch: Batch, i: int, outcome: Outcome) -> None:
    if isinstance(outcome, Note):
        finished.finish(batch, i, outcome.line, outcome)
    else:
        finished.finish(batch, i, outcome)


async def _written(memory: Memory) -> None:
    """Until there is room, if it is the writer who makes it."""
    while memory.holds_all:  # noqa: ASYNC110 - rare, and coarse
        await asyncio.sleep(_SHORT_S)
