"""Blocking functions in daemon threads.

Not `concurrent.futures`: its threads are joined at exit, and one that hangs would keep
the process alive for ever.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from streamproc.errors import TooManyAbandonedError
from streamproc.types import CallResult

_Job = tuple["asyncio.Future[Any]", Callable[[Any], Any], Any, contextvars.Context]


class Threads:
    """At most `count` threads, started as they are needed.

    A thread cannot be interrupted. When its caller stops waiting it is abandoned: another
    takes its place, and it is counted until it comes back.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self.abandoned = 0

    async def call(self, function: Callable[[object], object], argument: object) -> CallResult:
        """`function(argument)` in a thread. Raises what it raises, `TooManyAbandonedError`."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._jobs.put((future, function, argument, contextvars.copy_context()))
        if self._idle:
            self._idle -= 1
        elif self._threads - self.abandoned < self._count:
            self._threads += 1
            threading.Thread(
                target=self._work, args=(loop,), name="streamproc-blocking", daemon=True
            ).start()
        try:
            return await future
        except asyncio.CancelledError:
            self.abandoned += 1
            if self.abandoned > self._count:
                message = f"{self.abandoned} blocking calls outlived their timeout and still run"
                raise TooManyAbandonedError(message) from None
            raise

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._jobs.get()) is not None:
            future, function, argument, context = job
            result, error = None, None
            try:
                if not future.cancelled():
                    result = context.run(function, argument)
            except BaseException as raised:  # whatever it is, it belongs to the caller
                error = raised
            try:
                loop.call_soon_threadsafe(self._settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            del job, future, function, argument, context, result, error

    def _settle(
        self, future: asyncio.Future[object], result: object, error: BaseException | None
    ) -> None:
        self._idle += 1
        if future.cancelled():
            self.abandoned -= 1
        elif isinstance(error, StopIteration):  # a future refuses to carry that one
            future.set_exception(RuntimeError("StopIteration"))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
