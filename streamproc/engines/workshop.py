"""What the records at work have in common: places, clocks, tasks of their own, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.hands import Forked, Hand, Job, OnLost
from streamproc.engines.headroom import Headroom
from streamproc.engines.plain_door import PlainDoor
from streamproc.engines.slot import CLEANUP_S, Slot
from streamproc.engines.state import ABANDONED, CALLING, GATHERING, IDLE, JOINED
from streamproc.engines.sweeper import Sweeper
from streamproc.errors import TooManyAbandonedError, Unfinished
from streamproc.memory import Memory

T = TypeVar("T")


class Workshop:
    """Places, the sweeper, waits that a shutdown cuts short, and tasks beside the consumers.

    Of the `idle_hands` the one that was at work last is the last; `context` is what they know
    before a job. `abandoned` counts calls that ignored their cancellation; as many as there are
    places are tolerated, then `on_too_many` hears of it. `keeps_answers`: a call that is aborted
    may have been paid for already.
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
        self.idle_hands: list[Hand] = []
        self.context = copy_context()
        self.abandoned = 0
        self.is_winding_down = False
        self.is_aborted = False
        self._keeps_answers = keeps_answers
        self._on_too_many = on_too_many
        self._is_dry: Callable[[], bool] = lambda: False
        self._lists: dict[Callable[[], None], None] = {}  # how each open list is sent

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Those at work, of consumers and of hands."""
        return {slot.task for slot in self.sweeper.slots if slot.task is not None}

    def begin(self, memory: Memory, is_dry: Callable[[], bool]) -> None:
        """A run begins. `is_dry`: no record can come before some of those here are done."""
        self.context = copy_context()
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
        job: Job,
        age: int,
        on_lost: OnLost | None = None,
        maker: Slot | None = None,
    ) -> Forked:
        """Run `job` beside the consumers, with its own visit, for `maker`; see `Visit`."""
        is_usual = self.idle_hands and copy_context() == self.context
        hand = self.idle_hands.pop() if is_usual else Hand(self)
        return hand.begin(job, age, on_lost, maker)

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
        idle = {hand.slot.task for hand in self.idle_hands if hand.slot.task is not None}
        self.idle_hands.clear()
        tasks = self.tasks | idle
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CLEANUP_S)
            self.abandoned += len(stuck)
        self.headroom.close()
        for slot in self.sweeper.slots:
            slot.state = ABANDONED
