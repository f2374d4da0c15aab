"""Which workers wait while their parent is short of memory: all but the one with the oldest record.

What they finish is kept by the parent until that record is done, and takes no memory of theirs.
"""

from __future__ import annotations

from math import inf

from streamproc.engines.worker_pool import WorkerProcess
from streamproc.memory import Hold, Memory


class Holds:
    """Tells `workers`, when `look` finds that something has changed."""

    def __init__(self, workers: list[WorkerProcess]) -> None:
        self._workers = workers
        self._memory = Memory()
        self._is_holding = False

    def begin(self, memory: Memory) -> None:
        """Count on `memory` from here on."""
        self._memory = memory
        memory.on_room.append(self.look)

    def look(self) -> None:
        """Called after results, or room, and now and then: a death changes who is the oldest."""
        memory = self._memory
        if not memory.is_short and not self._is_holding:
            return
        self._is_holding = memory.is_short
        oldest = None
        if self._is_holding and not memory.holds_all:
            oldest = min(self._workers, key=_age, default=None)
        for worker in self._workers:
            if not self._is_holding:
                worker.hold(Hold.NONE)
            else:
                worker.hold(Hold.ALL_BUT_OLDEST if worker is oldest else Hold.ALL)


def _age(worker: WorkerProcess) -> float:
    """Of its oldest record that is not done."""
    return min(
        (
            span.batch.number + runs[0][0]
            for span in worker.spans.values()
            if (runs := span.open_runs())
        ),
        default=inf,
    )
