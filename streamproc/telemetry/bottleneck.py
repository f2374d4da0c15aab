"""What holds the run back now: one reading, from what others count anyway."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamproc.waits import Wait

_SHARE = 0.5  # of its time a run waits for a reader that is slow
_LEAST_S = 1.0  # a shorter look would take one full pipe for a slow reader


class Bottleneck:
    """`waits` tells what calls wait for, `blocked_s` how long nobody read, all in all."""

    def __init__(
        self,
        waits: Callable[[], list[Wait]],
        blocked_s: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waits = waits
        self._blocked_s = blocked_s
        self._now = now
        self._before = now(), blocked_s()
        self._is_reader_slow = False

    def reading(self) -> Wait | None:
        """What most waits for, None if the run goes as fast as its calls."""
        now, blocked_s = self._now(), self._blocked_s()
        before, was_s = self._before
        if now - before >= _LEAST_S:
            self._is_reader_slow = blocked_s - was_s >= _SHARE * (now - before)
            self._before = now, blocked_s
        if self._is_reader_slow:
            return Wait("reader")
        return max(self._waits(), key=lambda wait: wait.waiting, default=None)
