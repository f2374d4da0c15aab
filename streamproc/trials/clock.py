"""Hours in milliseconds: an event loop whose clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from streamproc.types import Coro

T = TypeVar("T")

# Before Python 3.12 a thread waits for the end of a child, of which the loop knows nothing.
_COUNTS_NO_CHILDREN = sys.version_info < (3, 12) and hasattr(os, "pidfd_open")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing that the loop knows of itself: moves its clock instead."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # the first of the map is how threads wake the loop, which has what they called for already
        is_alone = not self.loop.jobs and len(self.get_map()) == 1
        if is_alone and timeout is not None:
            self.loop.now += timeout
            return []
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if is_alone:
            raise RuntimeError("everything waits, and no timer will wake it")
        begun_s = time.monotonic()
        ready = super().select(timeout)
        self.loop.now += time.monotonic() - begun_s
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`now` is its clock. It stands still while callbacks run, and jumps when all of them wait.

    While there are `jobs` in threads, or sockets, pipes and children are waited for, time is real.
    """

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now = 1000.0
        self.jobs = 0
        self._epoch_s = time.time() - self.now
        super().__init__(selector)
        if _COUNTS_NO_CHILDREN:
            self._watcher_before = asyncio.get_child_watcher()
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(self)
            asyncio.set_child_watcher(watcher)

    def close(self) -> None:
        """See `asyncio`."""
        super().close()
        if _COUNTS_NO_CHILDREN:
            asyncio.set_child_watcher(self._watcher_before)

    def time(self) -> float:
        """Seconds."""
        return self.now

    def wall_time(self) -> float:
        """Seconds since 1970, see `streamproc.wall_clock`."""
        return self._epoch_s + self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """See `asyncio`."""
        job = super().run_in_executor(executor, func, *args)
        self.jobs += 1
        job.add_done_callback(self._done)
        return job

    async def shutdown_default_executor(self, *timeout: object) -> None:
        """See `asyncio`; threads are waited for in real time."""
        self.jobs += 1
        await super().shutdown_default_executor(*timeout)

    def _done(self, _: object) -> None:
        self.jobs -= 1


def simulate(main: Coro[T]) -> T:
    """What `main` returns, in a loop of that kind."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)
