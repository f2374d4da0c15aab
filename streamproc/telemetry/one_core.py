"""Whether a run has kept one core busy for so long that it should be told of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_EVERY_S = 1.0
_AFTER_S = 5.0
_BUSY = 0.9  # of a second: the kernel may have given some of it to others
_ALONE = 1.2  # what takes more has found other cores by itself: threads, libraries


class OneCore:
    """`on_busy` is called once, when one core was busy for 5 s and no other one was."""

    def __init__(self, on_busy: Callable[[], None]) -> None:
        self._on_busy = on_busy
        self._busy_s = 0.0
        self._before = time.monotonic(), time.process_time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, now and then."""
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now_s, cpu_s = time.monotonic(), time.process_time()
        (before_s, before_cpu_s), self._before = self._before, (now_s, cpu_s)
        is_busy = _BUSY <= (cpu_s - before_cpu_s) / (now_s - before_s) <= _ALONE
        self._busy_s = self._busy_s + now_s - before_s if is_busy else 0.0
        if self._busy_s >= _AFTER_S:
            self._on_busy()
        else:
            self.start()
