"""The engine of many processes: lines out to workers, results back, and what dies in between.

Order, window, checkpoint and output stay in the parent, which parses no JSON. Workers ask
for lines when they are nearly done, so that a slow one gets less.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Self

from streamproc.codec import OnError
from streamproc.engines.crash_recovery import CrashRecovery
from streamproc.engines.framing import Kind
from streamproc.engines.holds import Holds
from streamproc.engines.work_item import WorkItem
from streamproc.engines.worker_pool import Counts, WorkerPool, WorkerProcess, add_up
from streamproc.errors import PassedOnError, RestartsError
from streamproc.interfaces import Finished, Work, WorkerRestarted, WorkerState
from streamproc.record import Batch, Failed
from streamproc.waits import Allowance, Wait, merged

_SPAN_S = 0.01  # worth of work in a span: less is overhead, more is imbalance at the end
_MOST_LINES = 4096
_WATCH_S = 0.1
_LAST_S = 10.0  # what stages get to be left in
_ABORT_S = 4.5  # what calls get for answers that are kept and for their cleanup, and a little


class ProcessEngine:
    """`Engine` over child processes. `counts` are kept up to date."""

    def __init__(self, pool: WorkerPool, on_error: OnError, counts: Counts) -> None:
        self._pool = pool
        self._on_error = on_error
        self._counts = counts
        self._workers: list[WorkerProcess] = []
        self._holds = Holds(self._workers)
        self._past: list[Counts] = []  # what was counted by those that are gone
        self._proven: set[int] = set()  # places of which a worker was ready, if it lives or not
        self._crash_recovery = CrashRecovery(pool, self._refuse)
        self._lines_per_s = 0.0
        self._starting: set[asyncio.Task[None]] = set()
        self._is_ending = self._is_winding_down = self._all_given = False
        self._hungry: asyncio.Event | None = None
        self._failed: asyncio.Future[None] | None = None
        self._done: asyncio.Future[None] | None = None
        self._finished: Finished | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._hungry = asyncio.Event()
        self._failed, self._done = loop.create_future(), loop.create_future()
        try:
            await asyncio.gather(*map(self._start, range(self._pool.count)))
            while len(self._proven) < self._pool.count:
                await asyncio.wait({self._failed}, timeout=_WATCH_S)
                if self._failed.done():
                    self._failed.result()
        except BaseException:
            self._is_ending = True
            await self._kill_all()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._end(Kind.END, _LAST_S)
        assert self._failed is not None
        if self._failed.done() and kind is None:
            self._failed.result()

    @property
    def workers(self) -> int:
        """How many there are, but for the moment after a death."""
        return self._pool.count

    @property
    def restarts(self) -> int:
        """How many workers were started in the place of one that died."""
        return self._crash_recovery.restarts

    @property
    def in_flight(self) -> int:
        """Records that execute a call now."""
        return sum(worker.in_flight for worker in self._workers)

    def waits(self) -> list[Wait]:
        """What calls wait for now."""
        return merged(wait for worker in self._workers for wait in worker.waits)

    def allowances(self) -> list[Allowance]:
        """What targets let through now."""
        return [each for worker in self._workers for each in worker.allowances]

    def worker_states(self) -> list[WorkerState]:
        """What each worker does."""
        return [worker.state for worker in self._workers]

    @property
    def busy_since_s(self) -> float | None:
        """When the oldest call in flight began (monotonic clock), None if there is none."""
        longest = max((worker.busy_s for worker in self._workers), default=0.0)
        return time.monotonic() - longest if longest else None

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises `RestartsError`, `PassedOnError`."""
        assert self._failed is not None
        assert self._done is not None
        self._finished = finished
        self._past.append(pickle.loads(pickle.dumps(self._counts)))  # of an engine before
        self._holds.begin(finished.memory)
        feeding = asyncio.create_task(self._feed(work))
        watching = asyncio.create_task(self._watch())
        try:
            ends = {self._failed, self._done}
            await asyncio.wait({feeding, watching} | ends, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and not self._failed.done():
                feeding.result()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
        finally:
            for task in (feeding, watching):
                task.cancel()
            await asyncio.gather(feeding, watching, return_exceptions=True)

    def wind_down(self) -> None:
        """Start nothing new and cut waits short; `run` then ends with lines left open."""
        self._is_winding_down = True
        for worker in self._workers:
            worker.tell(Kind.WIND_DOWN)
        self._look_whether_done()

    async def abort(self) -> None:
        """Cancel what is in flight and await its cleanup, 2 s at most."""
        await self._end(Kind.ABORT, _ABORT_S)

    def thaw(self) -> None:
        """The process was stopped (SIGTSTP) and goes on."""
        for worker in self._workers:
            worker.heard_s = time.monotonic()

    # Lines out

    async def _feed(self, work: Work) -> None:
        assert self._hungry is not None
        while not self._is_winding_down and (batch := await work.receive()) is not None:
            at = 0
            while at < len(batch):
                while (worker := self._next_hungry()) is None:
                    self._hungry.clear()
                    await self._hungry.wait()
                if self._is_winding_down:
                    return
                count = min(len(batch) - at, self._span_lines())
                worker.give(WorkItem(batch, at, at + count))
                at += count
        self._all_given = True
        self._look_whether_done()

    def _next_hungry(self) -> WorkerProcess | None:
        able = [w for w in self._workers if w.wants and not w.is_alone and not w.is_done]
        if self._crash_recovery.suspects:  # one is kept free, or nothing would ever be tried alone
            able = able[1:]
        return min(able, key=lambda worker: len(worker.spans), default=None)

    def _span_lines(self) -> int:
        return max(1, min(_MOST_LINES, int(self._lines_per_s * _SPAN_S)))

    def _serve(self) -> None:
        for worker in self._workers:
            is_able = worker.wants and not worker.is_done and not worker.is_alone
            if is_able and (span := self._crash_recovery.next_for(worker)) is not None:
                worker.give(span)
        if self._hungry is not None:
            self._hungry.set()

    # Results back

    def _framed(self, worker: WorkerProcess, kind: Kind, body: memoryview) -> None:
        match kind:
            case Kind.RUN | Kind.SCATTERED:
                assert self._finished is not None
                span = worker.take_results(kind, body, self._finished)
                self._holds.look()
                if span is not None:
                    self._completed(worker, span)
            case Kind.WANT:
                worker.wants = True
                self._serve()
            case Kind.READY:
                self._proven.add(worker.place)
            case Kind.EVENTS:
                list(map(self._pool.audience.tell, pickle.loads(body)))
            case Kind.BEAT:
                worker.hear(body)
                if self._finished is not None:
                    counted = (*self._past, *(each.counts for each in self._workers))
                    add_up(self._counts, counted)
            case Kind.DONE:
                worker.is_done = True
                self._look_whether_done()
            case Kind.FATAL:
                message, code = pickle.loads(body)
                self._fail(PassedOnError(message, code))
            case _:
                raise AssertionError(kind)

    def _completed(self, worker: WorkerProcess, span: WorkItem) -> None:
        now = time.monotonic()
        rate = (span.stop - span.start) / max(now - worker.done_s, 1e-6)
        worker.done_s = now
        # slower is believed at once, faster by and by: a span that is too long delays others
        self._lines_per_s = min(rate, self._lines_per_s * 2 + 1600)
        if span.alone:
            self._serve()
        self._look_whether_done()

    def _look_whether_done(self) -> None:
        assert self._done is not None
        if self._is_winding_down:
            is_done = all(worker.is_done or not worker.spans for worker in self._workers)
        else:
            is_idle = self._crash_recovery.is_empty and not any(w.spans for w in self._workers)
            is_done = self._all_given and is_idle
        if is_done and not self._done.done():
            self._done.set_result(None)

    # What dies

    async def _start(self, place: int) -> None:
        worker = WorkerProcess(place, self._framed, self._died)
        self._workers.append(worker)
        await worker.start(self._pool)

    async def _watch(self) -> None:
        """Kill workers of which nothing comes: a plain `def` cannot be cancelled."""
        while True:
            await asyncio.sleep(min(_WATCH_S, self._pool.hang_s / 4))
            self._holds.look()
            now = time.monotonic()
            for worker in self._workers:
                if worker.spans and now - worker.heard_s > self._pool.hang_s:
                    worker.is_hung = True
                    worker.kill()

    def _died(self, worker: WorkerProcess) -> None:
        if worker not in self._workers or self._is_ending:
            return
        self._past.append(worker.counts)
        self._workers.remove(worker)
        if self._is_winding_down:
            self._look_whether_done()
            return
        self._crash_recovery.take_back(worker)
        try:
            wait_s = self._crash_recovery.count(worker)
        except RestartsError as error:
            self._fail(error)
            return
        task = asyncio.get_running_loop().create_task(self._start_later(worker.place, wait_s))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        self._look_whether_done()

    def _refuse(self, failed: Failed, batch: Batch, i: int) -> None:
        assert self._finished is not None
        note = self._on_error.refuse_unread(failed, batch, i)
        self._finished.finish(batch, i, note.line, note)

    async def _start_later(self, place: int, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if not self._is_ending:
            await self._start(place)
            if WorkerRestarted in self._pool.audience.wanted:
                self._pool.audience.tell(WorkerRestarted(place))

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # who waits for it may be gone

    async def _end(self, kind: Kind, patience_s: float) -> None:
        self._is_ending = True
        for worker in self._workers:
            worker.tell(kind)
        if gone := [worker.gone for worker in self._workers]:
            await asyncio.wait(gone, timeout=patience_s)
        await self._kill_all()

    async def _kill_all(self) -> None:
        for task in self._starting:
            task.cancel()
        for worker in self._workers:
            worker.kill()
        if gone := [worker.gone for worker in self._workers if not worker.gone.done()]:
            await asyncio.wait(gone, timeout=_ABORT_S)
