"""What the records at work have in common: places, clocks, tasks of their own, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.headroom import Headroom
from streamproc.engines.plain_door import PlainDoor
from streamproc.engines.slot import CLEANUP_S, Slot
from streamproc.engines.state import ABANDONED, CALLING, ENDING, GATHERING, IDLE, JOINED
from streamproc.engines.sweeper import Sweeper
from streamproc.errors import TooManyAbandonedError, Unfinished
from streamproc.interfaces import Visit
from streamproc.memory import Memory
from streamproc.types import CallResult

T = TypeVar("T")


class Workshop:
    """Places, the sweeper, waits that a shutdown cuts short, and tasks beside the consumers.

    `abandoned` counts calls that ignored their cancellation; as many as there are places
    are tolerated, then `on_too_many` hears of it. `keeps_answers`: a call that is aborted may
    have been paid for already.
    """

    def __init__(
        self,
        places: CapacityLimiter,
        sweeper: Sweeper,
        run_id: str = "",
        on_too_many: Callable[[TooManyAbandonedError], None] = lambda error: None,
        *,
        keeps_answers: bool = False,
    ) -> None:
        self.run_id = run_id
        self.places = places
        self.sweeper = sweeper
        self.door = PlainDoor(places)
        self.headroom = Headroom(sweeper.slots)
        self.waits: set[asyncio.Future[Any]] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.abandoned = 0
        self.is_winding_down = False
        self.is_aborted = False
        self._keeps_answers = keeps_answers
        self._on_too_many = on_too_many
        self._is_dry: Callable[[], bool] = lambda: False
        self._lists: dict[Callable[[], None], None] = {}  # how each open list is sent

    def begin(self, memory: Memory, is_dry: Callable[[], bool]) -> None:
        """A run begins. `is_dry`: no record can come before some of those here are done."""
        self.headroom.begin(memory)
        self._is_dry = is_dry

    def cut_short(self, turn: asyncio.Future[T]) -> None:
        """`turn` is a wait that ends with `Unfinished` when the workshop winds down."""
        if self.is_winding_down and not turn.done():
            turn.set_exception(Unfinished())
        else:
            self.waits.add(turn)

    def wind_down(self) -> None:
        """Start nothing any more, and cut all waits short, present and future ones."""
        self.is_winding_down = True
        self.places.close()
        for slot in self.sweeper.slots:
            slot.may_start = False
        for turn in list(self.waits):
            if not turn.done():
                turn.set_exception(Unfinished())
        self.send_lists()

    def fork(
        self,
        job: Callable[[Visit], Awaitable[CallResult]],
        age: int,
        on_lost: Callable[[BaseException], None] | None = None,
        maker: Slot | None = None,
    ) -> Forked:
        """Run `job` in a task of its own, with its own visit, for `maker`; see `Visit`."""
        return Forked(self, job, age, on_lost, maker)

    def gather(self, send: Callable[[], None]) -> None:
        """Somebody joins a list, which `send` sends."""
        self._lists[send] = None
        asyncio.get_running_loop().call_soon(self.look_at_lists)

    def look_at_lists(self) -> None:
        """Send them if nobody can join them any more."""
        if self._lists and (self.is_winding_down or self._do_all_gather()):
            self.send_lists()

    def send_lists(self) -> None:
        """Send what is incomplete, too."""
        lists, self._lists = self._lists, {}
        for send in lists:
            send()

    def _do_all_gather(self) -> bool:
        """Whether all records that are here wait in lists, and no other one can come."""
        if not self._is_dry():
            return False
        return all(slot.state in (GATHERING, JOINED, IDLE) for slot in self.sweeper.slots)

    def abandon(self, slot: Slot) -> bool:
        """The call of `slot` ignored its cancellation; False if that happened too often."""
        self.abandoned += 1
        if slot.task is not None:
            self.tasks.discard(slot.task)
        slot.release()
        if self.abandoned <= self.places.count:
            return True
        message = f"{self.abandoned} calls ignored their cancellation and still run"
        self._on_too_many(TooManyAbandonedError(message))
        return False

    async def abort(self) -> None:
        """Cancel every task and await its cleanup, 2 s at most."""
        if self._keeps_answers and not self.is_aborted:
            self.wind_down()
            busy = [s.task for s in self.sweeper.slots if s.state is CALLING and s.task]
            if busy:
                await asyncio.wait(busy, timeout=CLEANUP_S)
        self.is_aborted = True
        self.places.close()
        tasks, self.tasks = self.tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLEANUP_S)
            self.abandoned += len(stuck)
        self.headroom.close()
        for slot in self.sweeper.slots:
            slot.state = ABANDONED


class Forked:
    """A call beside the consumers. `answer` is its result; `cancel()` ends it.

    It begins with the place that whoever made it hands over, or without one: then the gate of
    its target grants it.
    """

    __slots__ = ("_maker", "_on_lost", "_shop", "_task", "answer", "slot")

    def __init__(
        self,
        shop: Workshop,
        job: Callable[[Visit], Awaitable[CallResult]],
        age: int,
        on_lost: Callable[[BaseException], None] | None,
        maker: Slot | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._shop = shop
        self._on_lost = on_lost
        self.answer: asyncio.Future[Any] = loop.create_future()
        self._maker = maker
        self.slot = Slot(shop, self._abandon, age)
        if maker is not None:
            self.slot.batch, self.slot.i = maker.batch, maker.i
            self.slot.deadline_s = maker.deadline_s
        self.slot.task = self._task = loop.create_task(self._run(job))
        shop.tasks.add(self._task)
        shop.sweeper.slots.add(self.slot)  # before it begins: it may be about to join a list
        self._task.add_done_callback(self._left)

    def serve(self, visit: Visit) -> None:
        """See `interfaces.Fork`."""
        if self.slot.deadline_s is not None:
            other_s = visit.deadline_s
            self.slot.deadline_s = other_s and max(self.slot.deadline_s, other_s)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self.slot.state is not ENDING:  # else their time was over, and so was its own
            self._task.cancel()

    async def _run(self, job: Callable[[Visit], Awaitable[CallResult]]) -> None:
        slot, answer = self.slot, self.answer
        try:
            result = await job(slot)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever waited may be gone
        else:
            if not answer.done():
                answer.set_result(result)
        finally:
            if slot.state is not ABANDONED:
                slot.release()

    def _left(self, task: asyncio.Task[None]) -> None:
        """It ended, or was cancelled before it began."""
        self._shop.tasks.discard(task)
        self._shop.sweeper.slots.discard(self.slot)
        if self.slot.state is not ABANDONED:
            self.slot.release()
        if self._maker is not None and self._maker.state is JOINED:
            self._maker.share.hold(self.slot.share.n_bytes)  # it may wait for others, too
        self.slot.share.close()
        if task.cancelled():
            self.answer.cancel()  # if it has none
            if self._on_lost is not None:
                self._on_lost(asyncio.CancelledError())

    def _abandon(self, slot: Slot) -> None:
        error = slot.abandon()
        self._shop.abandon(slot)
        if not self.answer.done():
            self.answer.set_exception(error)
        if self._on_lost is not None:
            self._on_lost(error)
