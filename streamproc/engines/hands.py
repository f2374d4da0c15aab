"""Tasks beside the consumers, each of which does one job after the other.

To make a task for each job would cost more than all the policies around a call. A job cannot
tell the difference: a hand whose context variables are not those of the run, as the maker of its
job or the job itself had set some, does no other one; nor does one that was cancelled, whatever its
job made of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from streamproc.engines.slot import Slot
from streamproc.engines.state import ABANDONED, ENDING, JOINED
from streamproc.interfaces import Visit
from streamproc.types import CallResult

if TYPE_CHECKING:
    from streamproc.engines.workshop import Workshop

Job = Callable[[Visit], Awaitable[CallResult]]
OnLost = Callable[[BaseException], None]


class Forked(Struct, eq=False):
    """A job of a hand. `answer` is its result; `cancel()` ends it.

    The hand's slot is at another one as soon as it is over: what is asked later is kept here.
    """

    hand: Hand
    answer: asyncio.Future[Any]
    made: int | None = None  # attempts, of one that is over

    @property
    def attempts(self) -> int:
        """See `interfaces.Fork`."""
        return self.hand.slot.attempts if self.made is None else self.made

    def serve(self, visit: Visit) -> None:
        """See `interfaces.Fork`."""
        slot = self.hand.slot
        if slot.deadline_s is not None:
            slot.deadline_s = visit.deadline_s and max(slot.deadline_s, visit.deadline_s)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        slot = self.hand.slot  # if its time is over, so was that of those who waited
        if self.made is None and slot.state is not ENDING and slot.task is not None:
            slot.task.cancel()


class Hand:
    """One such task, with its slot."""

    __slots__ = ("_fork", "_job", "_maker", "_on_lost", "_shop", "_turn", "slot")

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self.slot = Slot(shop, self._abandon)
        self._fork: Forked | None = None  # None: it has nothing to do
        self._job: Job | None = None
        self._maker: Slot | None = None
        self._on_lost: OnLost | None = None
        self._turn: asyncio.Future[None] | None = None  # None: its task is still to be made

    def begin(self, job: Job, age: int, on_lost: OnLost | None, maker: Slot | None) -> Forked:
        """Do a job for a record of that age, which `maker` is at.

        It has the place of `maker`, or none: then the gate of its target grants it.
        """
        loop, slot = asyncio.get_running_loop(), self.slot
        self._job, self._maker, self._on_lost = job, maker, on_lost
        self._fork = fork = Forked(self, loop.create_future())
        slot.work_for(age, maker)
        if self._turn is None:
            slot.task = loop.create_task(self._work())
            slot.task.add_done_callback(self._left)
        else:
            self._turn.set_result(None)
        self._shop.sweeper.slots.add(slot)  # before it begins: it may be about to join a list
        return fork

    async def _work(self) -> None:
        while (fork := self._fork) is not None and self._job is not None:
            try:
                result = await self._job(self.slot)
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException as error:
                if not fork.answer.done():
                    fork.answer.set_exception(error)
                    fork.answer.exception()  # whoever waited may be gone
            else:
                if not fork.answer.done():
                    fork.answer.set_result(result)
            self._put_down(fork)
            fork = result = None  # it may be large, and the next one long in coming
            if self._is_spent():
                return
            self._turn = asyncio.get_running_loop().create_future()
            self._shop.idle_hands.append(self)
            await self._turn

    def _put_down(self, fork: Forked) -> None:
        """The job is over."""
        shop, slot, maker = self._shop, self.slot, self._maker
        fork.made = slot.attempts
        self._fork = self._job = self._maker = self._on_lost = slot.batch = None
        shop.sweeper.slots.discard(slot)
        if slot.has_place and slot.state is not ABANDONED:
            slot.release()
        if slot.share.n_bytes:
            # who waits for it holds it from now on, and may wait for others, too
            heirs = [maker.share] if maker is not None and maker.state is JOINED else []
            slot.share.divide(heirs)

    def _is_spent(self) -> bool:
        slot = self.slot
        was_cancelled = slot.task is None or slot.task.cancelling() > 0
        is_over = slot.state is ABANDONED or self._shop.is_aborted
        return was_cancelled or is_over or copy_context() != self._shop.context

    def _left(self, task: asyncio.Task[None]) -> None:
        """It ends; at a job that was cancelled, maybe before it began, or at none."""
        fork, on_lost = self._fork, self._on_lost
        if fork is None:
            return
        self._put_down(fork)
        fork.answer.cancel()  # if there is none
        if on_lost is not None:
            on_lost(asyncio.CancelledError())

    def _abandon(self, slot: Slot) -> None:
        error = slot.abandon()
        self._shop.abandon(slot)
        if self._fork is not None and not self._fork.answer.done():
            self._fork.answer.set_exception(error)
        if self._on_lost is not None:
            self._on_lost(error)
