"""What the records at work have in common: places, clocks, tasks of their own, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from streamproc.engines.places import Places
from streamproc.engines.slot import CLEANUP_S, Slot
from streamproc.engines.sweeper import Sweeper
from streamproc.errors import TooManyAbandonedError, Unfinished
from streamproc.interfaces import Visit


class Workshop:
    """Places, the sweeper, waits that a shutdown cuts short, and tasks beside the consumers.

    `abandoned` counts calls that ignored their cancellation; as many as there are places
    are tolerated, then `on_too_many` hears of it.
    """

    def __init__(self, places: Places, sweeper: Sweeper) -> None:
        self.places = places
        self.sweeper = sweeper
        self.waits: set[asyncio.Future[Any]] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.abandoned = 0
        self.is_winding_down = False
        self.keeps_answers = False  # a call that is aborted may have been paid for already
        self.is_aborted = False
        self.on_too_many: Callable[[TooManyAbandonedError], None] = lambda error: None

    def cut_short(self, turn: asyncio.Future[Any]) -> None:
        """`turn` is a wait that ends with `Unfinished` when the workshop winds down."""
        if self.is_winding_down and not turn.done():
            turn.set_exception(Unfinished())
        else:
            self.waits.add(turn)

    def wind_down(self) -> None:
        """Cut all waits short, present and future ones."""
        self.is_winding_down = True
        for turn in list(self.waits):
            if not turn.done():
                turn.set_exception(Unfinished())

    def fork(self, job: Callable[[Visit], Awaitable[Any]], *, takes_place: bool) -> Forked:
        """Run `job` in a task of its own, with its own visit."""
        return Forked(self, job, takes_place=takes_place)

    def abandon(self, slot: Slot, *, frees_place: bool) -> bool:
        """The call of `slot` ignored its cancellation; False if that happened too often."""
        self.abandoned += 1
        if slot.task is not None:
            self.tasks.discard(slot.task)
        if frees_place:
            self.places.leave()
        if self.abandoned <= self.places.count:
            return True
        message = f"{self.abandoned} calls ignored their cancellation and still run"
        self.on_too_many(TooManyAbandonedError(message))
        return False

    async def abort(self) -> None:
        """Cancel every task and await its cleanup, 2 s at most."""
        if self.keeps_answers and not self.is_aborted:
            self.wind_down()
            busy = [slot.task for slot in self.sweeper.slots if slot.timed and slot.task]
            if busy:
                await asyncio.wait(busy, timeout=CLEANUP_S)
        self.is_aborted = True
        tasks, self.tasks = self.tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLEANUP_S)
            self.abandoned += len(stuck)
        for slot in self.sweeper.slots:
            slot.abandoned = True


class Forked:
    """A call beside the consumers. `answer` is its result; `cancel()` ends it."""

    def __init__(
        self, shop: Workshop, job: Callable[[Visit], Awaitable[Any]], *, takes_place: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self._shop = shop
        self._takes_place = takes_place
        self.answer: asyncio.Future[Any] = loop.create_future()
        self._slot = Slot(shop, self._abandon)
        self._slot.task = self._task = loop.create_task(self._run(job))
        shop.tasks.add(self._task)
        self._task.add_done_callback(shop.tasks.discard)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._task.cancel()

    async def _run(self, job: Callable[[Visit], Awaitable[Any]]) -> None:
        slot, answer, shop = self._slot, self.answer, self._shop
        try:
            if self._takes_place:
                await shop.places.enter()
            shop.sweeper.slots.add(slot)
            try:
                result = await job(slot)
            finally:
                shop.sweeper.slots.discard(slot)
                if self._takes_place and not slot.abandoned:
                    shop.places.leave()
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except BaseException as error:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever waited may be gone
        else:
            if not answer.done():
                answer.set_result(result)

    def _abandon(self, slot: Slot) -> None:
        if slot.abandoned:
            self._shop.abandon(slot, frees_place=self._takes_place)
        if not self.answer.done():
            self.answer.set_exception(slot.left_error())
