"""What workers that die leave behind: lines to do again, suspects, and a count."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from streamproc.engines.work_item import WorkItem
from streamproc.engines.worker_pool import WorkerPool, WorkerProcess
from streamproc.errors import RestartsError
from streamproc.interfaces import WorkerDied
from streamproc.record import Batch, Failed

log = logging.getLogger("streamproc")

_MINUTE_S = 60.0
_SECOND_S, _LONGEST_S = 0.1, 2.0  # back-off before the second restart, then doubled
_KILLS = 3  # by SIGKILL, before a record is blamed for it
_PARTS = 8  # that suspects are divided into: more than halves, for deaths cost more than spans


class CrashRecovery:
    """Lines that a dead worker had are done again; which of them killed it is found out.

    Suspects go to a worker that has nothing else: in parts, then singly. A single one
    whose worker dies again is to blame. `blame` gets it.
    """

    def __init__(self, pool: WorkerPool, blame: Callable[[Failed, Batch, int], None]) -> None:
        self._pool = pool
        self._blame = blame
        self._deaths: deque[float] = deque()
        self.suspects: deque[WorkItem] = deque()
        self.again: deque[WorkItem] = deque()
        self.restarts = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be done again."""
        return not (self.suspects or self.again)

    def next_for(self, worker: WorkerProcess) -> WorkItem | None:
        """What `worker` should do before all else: it is at the head of the line."""
        if self.suspects:
            return None if worker.spans else self.suspects.popleft()
        return self.again.popleft() if self.again else None

    def take_back(self, worker: WorkerProcess) -> None:
        """`worker` is dead: sort what it had."""
        is_begun = True  # what comes after the first open span, of a worker that does one by one
        for span in worker.spans.values():
            runs = span.open_runs()
            is_one = len(runs) == 1 and runs[0][1] - runs[0][0] == 1
            is_found = is_one and (span.alone or (is_begun and self._pool.is_inline))
            for start, stop in runs:
                if is_found and not self._may_be_chance(worker, span):
                    self._blame(self._failed(worker, span.tries + 1), span.batch, start)
                elif is_begun or not self._pool.is_inline:
                    self._suspect(span, start, stop)
                else:
                    self.again.append(WorkItem(span.batch, start, stop))
            is_begun = is_begun and not runs
        worker.spans.clear()

    def count(self, worker: WorkerProcess) -> float:
        """One death more; returns the back-off before the next start. Raises `RestartsError`."""
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - _MINUTE_S:
            self._deaths.popleft()
        count = len(self._deaths)
        if WorkerDied in self._pool.audience.wanted:
            self._pool.audience.tell(WorkerDied(worker.place, worker.how_it_ended()))
        if count > self._pool.max_restarts:
            raise RestartsError(
                f"deaths of workers within a minute: {count} (--max-restarts is "
                f"{self._pool.max_restarts}), the last: {worker.how_it_ended()}"
            )
        self.restarts += 1
        log.warning("%s; another one is started", worker.how_it_ended())
        return 0.0 if count == 1 else min(_SECOND_S * 2.0 ** (count - 2), _LONGEST_S)

    def _may_be_chance(self, worker: WorkerProcess, span: WorkItem) -> bool:
        """Anybody can send SIGKILL, at any moment; not so often in the same one."""
        return worker.was_killed and not worker.is_hung and span.tries < _KILLS

    def _suspect(self, span: WorkItem, start: int, stop: int) -> None:
        count = stop - start
        size = 1 if self._pool.is_inline else -(-count // _PARTS)
        self.suspects += [
            WorkItem(span.batch, at, min(at + size, stop), alone=True, tries=span.tries + 1)
            for at in range(start, stop, size)
        ]

    def _failed(self, worker: WorkerProcess, tries: int) -> Failed:
        if worker.is_hung:
            message = f"no result within {self._pool.hang_s:g} s; its worker was killed"
            return Failed(self._pool.stage, "timeout", message, tries)
        return Failed(self._pool.stage, "worker_crash", worker.how_it_ended(), tries)
