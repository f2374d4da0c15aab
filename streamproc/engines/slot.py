"""The record that one task is at: what its call is doing, its time limits, and how it waits.

A place belongs to the slot from `granted` to `release`, whatever the state: a start grants it,
waiting releases it first, and a task that ends in between releases it as it leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from streamproc.codec import Document
from streamproc.engines.share import MemoryShare
from streamproc.engines.state import (
    ABANDONED,
    CALLING,
    ENDING,
    GATHERING,
    HELD,
    JOINED,
    RESTING,
    RUNNING,
    WAITING,
    CallState,
)
from streamproc.errors import CallError, RecordError, described
from streamproc.interfaces import Fork, Room, Stage, Timed, Visit
from streamproc.record import Batch, id_of
from streamproc.types import CallResult, Coro

if TYPE_CHECKING:
    from streamproc.engines.workshop import Workshop

T = TypeVar("T")

CLEANUP_S = 2.0  # what a cancelled call gets to clean up


class Slot:
    """The engine's `Visit`: one per task, used for one record after the other."""

    __slots__ = (
        "_age", "_is_deadline", "_shop", "_was_held", "attempt", "attempts", "batch", "begun_s",
        "cancelled_s", "deadline_s", "document", "has_place", "held_s", "i", "may_start",
        "on_abandon", "only", "seen", "share", "stage", "state", "task", "timed",
    )  # fmt: skip

    def __init__(self, shop: Workshop, on_abandon: Callable[[Slot], None]) -> None:
        self._shop = shop
        self._age: int | None = None  # of the record that another one is at; see `work_for`
        self.on_abandon = on_abandon
        self.state = RUNNING
        self.has_place = False
        self.may_start = False
        self.task: asyncio.Task[Any] | None = None
        self.stage: Stage | None = None  # the stage that the record is at
        self.timed: Timed | None = None  # whose time limit runs, None between calls
        self.document: Document | None = None
        self.batch: Batch | None = None  # the record that the task is at: line i of batch
        self.i = 0
        self.only: frozenset[str] | None = None  # the sources to call, None for all
        self.attempt = 0  # counts all calls of this task; tells the sweeper one from the other
        self.attempts = 0
        self.held_s = 0.0
        self.share = MemoryShare(self, shop.headroom)
        self.deadline_s: float | None = None
        self.seen = 0  # the attempt that the sweeper saw last, and since when
        self.begun_s = 0.0
        self.cancelled_s = 0.0
        self._is_deadline = False
        self._was_held = False

    @property
    def age(self) -> int:
        """See `Visit`: records are numbered as they were read."""
        if self._age is not None:
            return self._age
        return self.batch.number + self.i if self.batch is not None else 0

    @property
    def record_id(self) -> str:
        """See `Visit`."""
        assert self.batch is not None
        return id_of(self._shop.run_id, self.batch.cursor, self.i)

    @property
    def room(self) -> Room:
        """See `Visit`."""
        return self._shop.places

    def arrive(self, stage: Stage, document: Document | None) -> None:
        """A record comes to a stage with policies."""
        self.stage = stage
        self.document = document
        self.attempts = 0
        self.held_s = 0.0
        if self.share.n_bytes:
            self.share.keep()

    def work_for(self, age: int, maker: Slot | None) -> None:
        """A job begins, for a record of that age, which `maker` is at and whose place it gets."""
        self._age = age
        self.state = RUNNING
        self.attempts = 0
        self.held_s = 0.0
        self.deadline_s = None
        if maker is not None:
            self.batch, self.i = maker.batch, maker.i
            self.deadline_s = maker.deadline_s
            maker.hand_over(self)

    # Its place

    def granted(self) -> None:
        """See `Visit`."""
        self.has_place = True
        self.may_start = not self._shop.is_winding_down

    def release(self) -> None:
        """Give the place back, if there is one."""
        if self.has_place:
            self.has_place = self.may_start = False
            self._shop.places.leave()

    def hand_over(self, other: Any) -> None:  # a Slot: this engine has no other visits
        """See `Visit`."""
        if self.has_place and not other.has_place:
            self.has_place = self.may_start = False
            other.granted()

    async def enter(self) -> None:
        """Have a place, for a call that asks for nothing else. Raises `Unfinished`."""
        if not self.may_start:
            await self._shop.door.wait(self)

    # Its call

    def begin(self, timed: Timed) -> None:
        """A call begins."""
        self.attempts += 1
        self.attempt += 1
        self.timed = timed
        self.state = CALLING

    def end(self) -> None:
        """The call came back. Raises `RecordError` if its time had been over."""
        if self.state is ENDING:
            raise self._ended()
        self.timed = None
        self.state = RUNNING

    def end_failed(self, error: BaseException) -> BaseException:
        """The call raised `error`; returns what the record failed of.

        A cancellation that came neither from the sweeper nor from the user's own code
        is raised again: the run is being aborted.
        """
        is_aborted = isinstance(error, asyncio.CancelledError)
        self.share.let_go_of_call()
        if self.state is ENDING:
            failure = self._ended()
            if self.task is not None and self.task.cancelling():
                raise asyncio.CancelledError
            return failure
        self.timed = None
        self.state = RUNNING
        if is_aborted and self.task and self.task.cancelling():
            raise error
        if isinstance(error, GeneratorExit):
            if self.task is None or asyncio.current_task(self.task.get_loop()) is not self.task:
                raise error  # the coroutine is closed; nobody has raised that
            return RecordError("exception", described(error))
        return error

    def interrupt(self, now_s: float, *, is_deadline: bool) -> None:
        """For the sweeper: the time is over."""
        if self.task is not None:
            self.cancelled_s = now_s
            self._was_held = self.state is HELD
            self.state = ENDING
            self._is_deadline = is_deadline
            self.task.cancel()

    def abandon(self) -> RecordError:
        """It ignored that: nobody waits for the task any more. What its record fails of."""
        self.state = ABANDONED
        return self._late(f", and it ignored its cancellation for {CLEANUP_S:g} s")

    def _ended(self) -> RecordError:
        error = self._late("")
        self.timed = None
        self.state = RUNNING
        if self.task is not None:
            self.task.uncancel()
        return error

    def _late(self, more: str) -> RecordError:
        if self._is_deadline:
            self._is_deadline = False
            is_outage = not self._was_held
            return CallError("deadline", f"not done by its deadline{more}", is_outage=is_outage)
        limit_s = self.timed.timeout_s if self.timed is not None else 0.0
        message = f"no result within {limit_s:g} s{more}"
        return CallError("timeout", message, again=True, is_outage=True)

    # How it waits

    async def pause(self, seconds: float) -> None:
        """See `Visit`."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        timer = loop.call_later(seconds, _wake, turn)
        try:
            await self.wait(turn, RESTING)
        finally:
            timer.cancel()

    async def wait(self, turn: asyncio.Future[T], state: CallState = WAITING) -> T:
        """See `Visit`."""
        self._shop.cut_short(turn)
        try:
            return await self._wait(turn, state)
        finally:
            self._shop.waits.discard(turn)

    def wait_for_call(self, answer: asyncio.Future[T]) -> Coro[T]:
        """See `Visit`."""
        return self._wait(answer, JOINED)

    async def gather(self, answer: asyncio.Future[T], send: Callable[[], None]) -> T:
        """See `Visit`."""
        self._shop.gather(send)
        return await self._wait(answer, GATHERING)

    async def _wait(self, turn: asyncio.Future[T], state: CallState) -> T:
        self.state = state
        if not turn.done():  # else the place may be what it brought
            self.release()
        try:
            result = await turn
        finally:
            if self.state is not ENDING:
                self.state = RUNNING
        return result

    def fork(
        self,
        job: Callable[[Visit], Awaitable[CallResult]],
        on_lost: Callable[[BaseException], None] | None = None,
    ) -> Fork:
        """See `Visit`."""
        return self._shop.fork(job, self.age, on_lost, self)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
