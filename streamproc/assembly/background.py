"""A coroutine in a thread with a loop of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from streamproc.types import Coro

T = TypeVar("T")


class Background(Generic[T]):
    """Runs `job` from entry on; leaving cancels what is not done and waits for its end."""

    def __init__(
        self, job: Callable[[], Coro[T]], at_end: Callable[[], None] = lambda: None
    ) -> None:
        self._job = job
        self._at_end = at_end
        self._thread = threading.Thread(target=self._run, name="streamproc", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._result: list[T] = []
        self._error: BaseException | None = None

    def __enter__(self) -> Background[T]:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *error: object) -> None:
        if self._loop is not None and self._task is not None and self._thread.is_alive():
            # its loop may close just now
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                self._thread.join()
        self._thread.join()

    def result(self) -> T:
        """What the job returned, once it did; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # it is raised where the result is asked for
            self._error = error
        finally:
            self._started.set()
            self._at_end()

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.create_task(self._job())
        self._started.set()
        self._result.append(await self._task)
