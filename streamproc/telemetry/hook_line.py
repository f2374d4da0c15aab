"""Events that wait for one handler, and how it is called."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from copy import deepcopy
from typing import Any

from streamproc.errors import RecordError, StreamprocError, described
from streamproc.secrets import redact
from streamproc.types import Coro, EventHandler, JsonObject

log = logging.getLogger("streamproc")

MOST_WAITING = 1000
LIMIT_S = 10.0  # for one call

"""Gets an event as a dict."""


class Hook:
    """Who hears of `events`, by name. A plain function is called in a thread.

    A coroutine function runs in a loop of its own, or, `in_run_loop`, in that of the run, which it
    then shares with everything there.
    """

    def __init__(
        self, name: str, events: frozenset[str], handle: EventHandler, *, in_run_loop: bool = False
    ) -> None:
        self.name = name
        self.events = events
        self.handle = handle
        self.in_run_loop = in_run_loop

    @property
    def is_coroutine(self) -> bool:
        """Whether it is to be awaited."""
        call = getattr(self.handle, "__call__", None)  # noqa: B004 - it is inspected, not tested for
        return any(map(inspect.iscoroutinefunction, (self.handle, call)))


class HookLine:
    """The events of one hook in one run, and its thread; what has a name is called by the run.

    One event after the other: a plain function that does not come back gets no other one.
    """

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self._run_loop: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: Future[None] = Future()
        self._waiting: deque[dict[str, Any]] = deque()
        self._awake: asyncio.Future[None] | None = None
        self._busy: asyncio.Future[None] | None = None  # until a plain function is back
        self._is_closing = False
        self._is_at_one = False
        self._dropped = 0
        self._failed = 0
        self._unheard = 0

    def start(self, run_loop: asyncio.AbstractEventLoop) -> None:
        """Begin; `run_loop` is that of the run."""
        self._run_loop = run_loop
        begun = threading.Event()
        thread = threading.Thread(target=self._run, args=(begun,), name=self.hook.name, daemon=True)
        thread.start()
        begun.wait()

    def offer(self, event: JsonObject) -> None:
        """It waits, or is dropped."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.append(event)
            self._call(self._wake)

    def close(self) -> Future[None]:
        """Nothing more will be offered; returns the end of what waits."""
        self._is_closing = True
        self._call(self._wake)
        return self._ended

    def give_up(self) -> None:
        """There is no more time."""
        if not self._ended.done() and self._task is not None:
            self._unheard = len(self._waiting) + self._is_at_one
            self._waiting.clear()
            self._call(self._task.cancel)

    def tell(self) -> None:
        """What became of events that were not handled."""
        name = self.hook.name
        if self._failed > 1:
            log.warning("%s failed %d times", name, self._failed)
        if self._dropped:
            log.warning("%s: %d events were dropped, %d waited already", name, self._dropped,
                        MOST_WAITING)  # fmt: skip
        if self._unheard:
            log.warning("%s: %d events were not handled before the end", name, self._unheard)

    def _call(self, what: Callable[[], object]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(what)

    def _wake(self) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    def _run(self, begun: threading.Event) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._work(begun))
        self._ended.set_result(None)

    async def _work(self, begun: threading.Event) -> None:
        """Until it is closed and empty."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        begun.set()
        while True:
            while self._waiting:
                self._is_at_one = True
                await self._handle(self._waiting.popleft())
                self._is_at_one = False
            if self._is_closing:
                return
            self._awake = asyncio.get_running_loop().create_future()
            if not self._waiting:  # offered since
                await self._awake

    async def _handle(self, event: JsonObject) -> None:
        if self._busy is not None:
            await asyncio.wait({self._busy})
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._called(deepcopy(event))
        except TimeoutError:
            self._fail(event, f"no end within {LIMIT_S:g} s")
        except (StreamprocError, RecordError, _ExitError) as error:
            self._fail(event, str(error))
        except Exception as error:
            self._fail(event, described(error))

    async def _called(self, event: JsonObject) -> None:
        hook = self.hook
        if not hook.is_coroutine:
            await self._in_thread(event)
            return
        call = _contained(hook.handle(event))
        task: asyncio.Future[None]
        if hook.in_run_loop and self._run_loop is not None:
            task = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._run_loop))
        else:
            task = asyncio.ensure_future(call)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if task.cancelled():
            raise _ExitError("it cancelled itself")
        task.result()

    async def _in_thread(self, event: JsonObject) -> None:
        loop = asyncio.get_running_loop()
        self._busy = busy = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                answer = self.hook.handle(event)
                if inspect.iscoroutine(answer):
                    asyncio.run(answer)
            except BaseException as raised:  # SystemExit, too, ends nothing but the handler
                error = raised
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(_settle, busy, error)

        threading.Thread(target=work, name=self.hook.name, daemon=True).start()
        await asyncio.wait({busy})
        busy.result()

    def _fail(self, event: JsonObject, why: str) -> None:
        self._failed += 1
        if self._failed == 1:
            log.warning("%s failed at %s: %s", self.hook.name, event["event"], redact(why))


async def _contained(call: Coro[object]) -> None:
    """As `call`, but for what would end the loop that it runs in. Raises `_ExitError` for that."""
    try:
        await call
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # SystemExit and the like end nothing but the handler
        raise _ExitError(described(error)) from None


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        # a future takes no StopIteration
        is_plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
        future.set_exception(error if is_plain else _ExitError(described(error)))
        future.exception()  # whoever waited may be gone


class _ExitError(Exception):
    """A handler wanted to end more than itself."""
