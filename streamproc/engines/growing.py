"""The engine that begins in this process, and goes on with workers when the work is worth them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from streamproc.engines.load import Load
from streamproc.engines.local import LocalEngine
from streamproc.entering import Stacked
from streamproc.errors import StreamprocError
from streamproc.interfaces import Engine, Finished, Work, WorkerState
from streamproc.record import Batch
from streamproc.waits import Allowance, Wait

log = logging.getLogger("streamproc")


class GrowingEngine(Stacked):
    """`Engine` for programs that are inline, and the same in every process.

    While workers start, `local` goes on; between two batches it hands over to them, for good.
    `hire` makes their engine, `on_hand_over` hears of it.
    """

    def __init__(
        self, local: LocalEngine, hire: Callable[[], Engine], on_hand_over: Callable[[], None]
    ) -> None:
        self._local = local
        self._hire = hire
        self._on_hand_over = on_hand_over
        self._engine: Engine = local
        self._hiring: asyncio.Task[Engine | None] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._local)
        return self

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises what the engine of the workers raises."""
        try:
            await self._local.run(_Shift(work, self._begin_hiring, self._hands_over), finished)
        finally:
            if self._hiring is not None:
                self._hiring.cancel()
                await asyncio.wait({self._hiring})
        if self._engine is not self._local:
            await self._engine.run(work, finished)

    def _begin_hiring(self) -> None:
        self._hiring = asyncio.create_task(self._hired())

    async def _hired(self) -> Engine | None:
        try:
            return await self._stack.enter_async_context(self._hire())
        except (StreamprocError, OSError) as error:
            log.warning("no workers can be started (%s); one process goes on alone", error)
            return None

    def _hands_over(self) -> bool:
        """Whether the workers do what comes next: they are there."""
        if self._hiring is None or not self._hiring.done():
            return False
        workers = self._hiring.result()
        if workers is None:
            return False
        self._engine = workers
        self._on_hand_over()
        log.info("one core was not enough: %d workers go on", workers.workers)
        return True

    def wind_down(self) -> None:
        """See `Engine`."""
        self._engine.wind_down()

    async def abort(self) -> None:
        """See `Engine`."""
        await self._engine.abort()

    def thaw(self) -> None:
        """See `Engine`."""
        self._engine.thaw()

    def waits(self) -> list[Wait]:
        """See `Engine`."""
        return self._engine.waits()

    def allowances(self) -> list[Allowance]:
        """See `Engine`."""
        return self._engine.allowances()

    def worker_states(self) -> list[WorkerState]:
        """See `Engine`."""
        return self._engine.worker_states()

    @property
    def busy_since_s(self) -> float | None:
        """See `Engine`."""
        return self._engine.busy_since_s

    @property
    def in_flight(self) -> int:
        """See `Engine`."""
        return self._engine.in_flight

    @property
    def restarts(self) -> int:
        """See `Engine`."""
        return self._engine.restarts

    @property
    def workers(self) -> int:
        """See `Engine`."""
        return self._engine.workers


class _Shift:
    """The work until it `is_over`; then others go on with it. `on_high_load` is called once."""

    def __init__(
        self, work: Work, on_high_load: Callable[[], None], is_over: Callable[[], bool]
    ) -> None:
        self._work = work
        self._on_high_load = on_high_load
        self._is_over = is_over
        self._load: Load | None = Load()

    async def receive(self) -> Batch | None:
        """See `Work`; None also at the end of the shift."""
        if self._is_over():
            return None
        begun_s = time.monotonic()
        batch = await self._work.receive()
        if batch is not None and self._load is not None:
            waited_s = time.monotonic() - begun_s
            if self._load.is_high(len(batch), batch.n_bytes, waited_s):
                self._load = None
                self._on_high_load()
        return batch

    def take(self, most: int = 1) -> tuple[Batch, int, int] | None:
        """See `Work`."""
        return self._work.take(most)

    def give_back(self, count: int) -> None:
        """See `Work`."""
        self._work.give_back(count)

    async def wait(self) -> bool:
        """See `Work`."""
        return await self._work.wait()

    @property
    def is_dry(self) -> bool:
        """See `Work`."""
        return self._work.is_dry

    def on_dry(self, call: Callable[[], None]) -> None:
        """See `Work`."""
        self._work.on_dry(call)
