"""The record that one task is at: its time limits, and how it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from streamproc.codec import Document
from streamproc.errors import CallError, RecordError
from streamproc.interfaces import Flight, Fork, Stage, Timed, Visit
from streamproc.record import Batch

if TYPE_CHECKING:
    from streamproc.engines.workshop import Workshop

CLEANUP_S = 2.0  # what a cancelled call gets to clean up


class Slot:
    """The engine's `Visit`: one per task, used for one record after the other."""

    __slots__ = (
        "_is_deadline",
        "_shop",
        "abandoned",
        "attempt",
        "attempts",
        "batch",
        "begun_s",
        "cancelled_s",
        "deadline_s",
        "document",
        "held_s",
        "i",
        "leads",
        "on_abandon",
        "only",
        "outlived",
        "seen",
        "stage",
        "task",
        "timed",
    )  # fmt: skip

    def __init__(self, shop: Workshop, on_abandon: Callable[[Slot], None]) -> None:
        self._shop = shop
        self.on_abandon = on_abandon
        self.task: asyncio.Task[Any] | None = None
        self.stage: Stage | None = None  # the stage that the record is at
        self.timed: Timed | None = None  # whose time limit runs, None between calls
        self.document: Document | None = None
        self.batch: Batch | None = None  # the record that the task is at: line i of batch
        self.i = 0
        self.only: frozenset[str] | None = None  # the sources to call, None for all
        self.leads: Flight | None = None  # a call of this record that others wait for, too
        self.outlived = False  # the record is done, and the task stays with that call
        self.attempt = 0  # counts all calls of this task; tells the sweeper one from the other
        self.attempts = 0
        self.held_s = 0.0
        self.deadline_s: float | None = None
        self.seen = 0  # the attempt that the sweeper saw last, and since when
        self.begun_s = 0.0
        self.cancelled_s: float | None = None
        self._is_deadline = False
        self.abandoned = False

    def arrive(self, stage: Stage, document: Document | None) -> None:
        """A record comes to a stage with policies."""
        self.stage = stage
        self.document = document
        self.attempts = 0
        self.held_s = 0.0

    def begin(self, timed: Timed) -> None:
        """A call begins."""
        self.attempts += 1
        self.attempt += 1
        self.timed = timed

    def end(self) -> None:
        """The call came back. Raises `RecordError` if its time had been over."""
        if self.cancelled_s is not None:
            raise self._timeout()
        self.timed = None

    def end_failed(self, error: BaseException) -> BaseException:
        """The call raised `error`; returns what the record failed of.

        A cancellation that came neither from the sweeper nor from the user's own code
        is raised again: the run is being aborted. So is one that means a deadline
        further out.
        """
        if self.cancelled_s is not None:
            failure = self._timeout()
            if self.task is not None and self.task.cancelling():
                raise asyncio.CancelledError
            return failure
        self.timed = None
        if isinstance(error, asyncio.CancelledError) and self.task and self.task.cancelling():
            raise error
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise error
        return error

    def interrupt(self, now_s: float, *, is_deadline: bool) -> None:
        """For the sweeper: the time is over."""
        if is_deadline and self.leads is not None and self.leads.is_wanted:
            self.outlived, self.deadline_s = True, None
            self.on_abandon(self)
        elif self.task is not None:
            self.cancelled_s = now_s
            self._is_deadline = is_deadline
            self.task.cancel()

    def left_error(self) -> RecordError:
        """What the record fails of that is left behind by its task, or leaves it behind."""
        if self.outlived:
            return RecordError("deadline", "not done by its deadline")
        return self._late(f", and it ignored its cancellation for {CLEANUP_S:g} s")

    def _timeout(self) -> RecordError:
        error = self._late("")
        self.timed, self.cancelled_s = None, None
        if self.task is not None:
            self.task.uncancel()
        return error

    def _late(self, more: str) -> RecordError:
        if self._is_deadline:
            self._is_deadline = False
            return RecordError("deadline", f"not done by its deadline{more}")
        limit_s = self.timed.timeout_s if self.timed is not None else 0.0
        message = f"no result within {limit_s:g} s{more}"
        return CallError("timeout", message, again=True, is_outage=True)

    async def pause(self, seconds: float) -> None:
        """Wait, while another record has the place. Raises `Unfinished`."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        timer = loop.call_later(seconds, _wake, turn)
        try:
            await self.wait(turn)
        finally:
            timer.cancel()

    async def wait(self, turn: asyncio.Future[Any]) -> Any:
        """The result of `turn`; another record has the place meanwhile. Raises `Unfinished`."""
        self._shop.cut_short(turn)
        try:
            async with self._shop.places.lent():
                return await turn
        finally:
            self._shop.waits.discard(turn)

    async def wait_for_call(self, answer: asyncio.Future[Any]) -> Any:
        """As `wait`, for a call that somebody else makes: not cut short by a shutdown."""
        async with self._shop.places.lent():
            return await answer

    def fork(self, job: Callable[[Visit], Awaitable[Any]], *, takes_place: bool) -> Fork:
        """See `Visit`."""
        return self._shop.fork(job, takes_place=takes_place)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
