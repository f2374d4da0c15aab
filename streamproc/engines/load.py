"""Whether one core is busy with work that more cores would help with."""

from __future__ import annotations

import time

_BUSY_S = 0.5
# What handing a record to a worker and taking the result costs this process, on a machine of
# 2026: below a few times that, workers take more than they give.
_HANDED_S = 3e-6
_HANDED_S_PER_BYTE = 8e-9
_WORTH = 5


class Load:
    """CPU time that the work of this thread takes, less the time that it waits for more of it."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._busy_s = self._handed_s = 0.0
        self._cpu_s = self._begun_s = time.thread_time()

    def is_high(self, records: int, n_bytes: int, waited_s: float) -> bool:
        """Whether workers would help. `records` more are there to be done, after a wait."""
        now = time.thread_time()
        self._busy_s = max(0.0, self._busy_s + now - self._cpu_s - waited_s)
        self._cpu_s = now
        self._handed_s += records * _HANDED_S + n_bytes * _HANDED_S_PER_BYTE
        if self._busy_s < _BUSY_S:
            return False
        is_worth_it = now - self._begun_s > _WORTH * self._handed_s
        self._begin()
        return is_worth_it
