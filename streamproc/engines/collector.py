"""Micro-batches: single records in, one call with a list, single results out."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from streamproc.engines.places import Places
from streamproc.engines.sweeper import Slot, Sweeper, abandoned_error
from streamproc.errors import RecordError, TooManyAbandonedError
from streamproc.interfaces import Stage

_Waiting = tuple[dict[str, Any], "asyncio.Future[Any]"]


class Collector:
    """Gathers the records of a batched stage.

    A record that waits for its list lends its place; the call with the list takes one.
    Timeout and cancellation are those of the call, and then of all its records.
    """

    def __init__(self, stage: Stage, places: Places, sweeper: Sweeper) -> None:
        assert stage.enricher.gather is not None
        self._stage = stage
        self._size = stage.enricher.gather.size
        self._wait_s = stage.enricher.gather.wait_s
        self._places = places
        self._sweeper = sweeper
        self._gathered: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self.calls: set[asyncio.Task[None]] = set()
        self._abandoned = 0

    async def call(self, fields: dict[str, Any]) -> Any:
        """The record's part of the answer. Raises what the call raised."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._gathered.append((fields, answer))
        if len(self._gathered) >= self._size:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait_s, self._flush)
        async with self._places.lent():
            return await answer

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        gathered = [each for each in gathered if not each[1].done()]  # some may be cancelled
        if gathered:
            task = asyncio.create_task(self._run(gathered))
            self.calls.add(task)
            task.add_done_callback(self.calls.discard)

    async def _run(self, gathered: list[_Waiting]) -> None:
        answers = [answer for _, answer in gathered]
        slot = Slot(lambda slot: self._abandon(slot, answers))
        slot.task = asyncio.current_task()
        try:
            await self._places.enter()
            self._sweeper.slots.add(slot)
            try:
                slot.begin(self._stage)
                results = self._stage.enricher.call([fields for fields, _ in gathered])
                if inspect.isawaitable(results):
                    results = await results
                slot.end()
                _check(results, len(gathered))
            finally:
                self._sweeper.slots.discard(slot)
                if not slot.abandoned:
                    self._places.leave()
        except BaseException as error:
            failure = slot.end_failed(error) if slot.stage else error
            _settle(answers, failure)
        else:
            for answer, result in zip(answers, results, strict=True):
                if not answer.done():
                    answer.set_result(result)

    def _abandon(self, slot: Slot, answers: list[asyncio.Future[Any]]) -> None:
        self._abandoned += 1
        self._places.leave()
        error: Exception = abandoned_error(self._stage.timeout_s)
        if self._abandoned > self._places.count:
            error = TooManyAbandonedError(f"{self._abandoned} calls ignored their cancellation")
        _settle(answers, error)


def _settle(answers: list[asyncio.Future[Any]], error: BaseException) -> None:
    for answer in answers:
        if not answer.done():
            if isinstance(error, asyncio.CancelledError):
                answer.cancel()
            else:
                answer.set_exception(error)


def _check(results: Any, expected: int) -> None:
    is_list = isinstance(results, list | tuple)
    if not is_list or len(results) != expected:
        got = f"{len(results)} results" if is_list else type(results).__name__
        message = f"got a list of {expected} records and returned {got}; return a list as long"
        raise RecordError("exception", message)
