"""Functions that the loop asks a thread to call, and their answers."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Jobs:
    """Sent by the loop in which this is made, done by one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._end: BaseException | None = None  # why no more are done

    async def submit(self, function: Callable[[], T]) -> T:
        """The result of `function`, called in the thread. Raises what it raises."""
        done: asyncio.Future[T] = self._loop.create_future()

        def job() -> None:
            try:
                if self._end is not None:
                    raise self._end
                result = function()
            except BaseException as error:
                self.post(_fail, done, error)
            else:
                self.post(_resolve, done, result)

        self._queue.put(job)
        if self._end is not None:  # the thread may have missed the job
            _fail(done, self._end)
        return await done

    def post(self, function: Callable[..., object], *arguments: object) -> None:
        """Let the loop call `function`, if it still turns."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    # For the thread

    def do(self) -> None:
        """All there are now."""
        while not self._queue.empty():
            self._queue.get()()

    def wait(self, seconds: float | None = None) -> None:
        """Do one, if one comes in that time."""
        try:
            self._queue.get(timeout=seconds)()
        except queue.Empty:
            return

    def put(self, function: Callable[[], None]) -> None:
        """Of which nobody awaits the result."""
        self._queue.put(function)

    def end(self, reason: BaseException) -> None:
        """None is done any more: what waits, and what comes, raises `reason`."""
        self._end = reason
        self.do()


class JobThread(threading.Thread):
    """Does nothing else. It may be left behind in a call that does not return.

    What it works on is freed in it, if nobody else holds it: that may not return either.
    """

    def __init__(self, name: str, works_on: object) -> None:
        super().__init__(name=name, daemon=True)
        self._jobs = Jobs()
        self._works_on: object = works_on
        self.submit = self._jobs.submit
        self._is_closing = False
        self.start()

    def close(self) -> None:
        """End after what is done now."""
        self._jobs.put(self._stop)

    def run(self) -> None:
        """See `threading.Thread`."""
        while not self._is_closing:
            self._jobs.wait()
        self._works_on = None

    def _stop(self) -> None:
        self._is_closing = True


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
