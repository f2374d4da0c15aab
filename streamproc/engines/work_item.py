"""What a worker is given at once."""

from __future__ import annotations

from streamproc.record import Batch


class WorkItem:
    """The lines `start` to `stop` of a batch, given to a worker.

    `alone`: it is under suspicion to have killed a worker, `tries` times so far.
    """

    __slots__ = ("alone", "batch", "left", "start", "stop", "tries")

    def __init__(
        self, batch: Batch, start: int, stop: int, *, alone: bool = False, tries: int = 0
    ) -> None:
        self.batch = batch
        self.start = start
        self.stop = stop
        self.left = stop - start
        self.alone = alone
        self.tries = tries

    def open_runs(self) -> list[tuple[int, int]]:
        """The lines without a result, as runs."""
        runs: list[tuple[int, int]] = []
        for i in range(self.start, self.stop):
            if self.batch.results[i] is None:
                if runs and runs[-1][1] == i:
                    runs[-1] = runs[-1][0], i + 1
                else:
                    runs.append((i, i + 1))
        return runs
