"""The one place where a stage is called: record by record, some at once, or to be awaited.

Its observer is told here of plain code and of coroutines; where policies stand around the calls,
the innermost of them tells of each attempt (`policies.timeout`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from streamproc.engines.eager import Suspended, begin, in_a_row
from streamproc.engines.slot import Slot
from streamproc.engines.users import users
from streamproc.errors import StreamprocError
from streamproc.interfaces import Stage
from streamproc.record import NO_RESULT
from streamproc.types import CallResult, Record

UNTIMED = 0b111  # of eight calls by themselves: some take less than looking at a clock
_ALL_TIMED = 64  # the first ones of a stage: of few calls an eighth says little


class Executor:
    """Calls one stage, which is entered. What is nothing to add comes back as `NO_RESULT`.

    `awaited` takes a record and its slot, and is for stages that are not `inline`.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.call = stage.enricher.call
        self._observer = stage.observer
        self.mode = stage.enricher.mode
        self.is_heard = stage.observer.is_heard
        self.counts = stage.observer.counts
        # what takes a visit itself is awaited without a frame of ours
        self.awaited = self.call if self.mode == "layered" else self._awaited

    def inline(self, fields: Record) -> CallResult:
        """The result for one record."""
        if not self.counts.ahead:
            return self.timed(fields)
        self.counts.ahead -= 1
        try:
            value = self.call(fields)
        except BaseException:
            self.counts.failed_calls += 1
            raise
        return NO_RESULT if value is None else value

    def timed(self, fields: Record) -> CallResult:
        """The same, by the clock; the next ones may be without: `counts` has how many."""
        counts = self.counts
        if not self.is_heard and counts.calls + counts.untimed >= _ALL_TIMED:
            counts.untimed += UNTIMED
            counts.ahead = UNTIMED
        begun_s = perf_counter()
        try:
            value = self.call(fields)
        except BaseException as error:
            self._observer.called(1, perf_counter() - begun_s, users(error))
            raise
        self._observer.called(1, perf_counter() - begun_s)
        return NO_RESULT if value is None else value

    def some(self, records: list[Record], values: list[CallResult]) -> BaseException | None:
        """Appends the results to `values`, None for nothing to add, until one fails: of what."""
        begun_s = perf_counter()
        error: BaseException | None = None
        try:
            values.extend(map(self.call, records))
            if len(values) < len(records):  # it was raised, and ends `map` as if that were all
                error = StopIteration()
        except StreamprocError as raised:
            error = raised
        except BaseException as raised:
            error = users(raised)
        finally:
            calls = len(values) + (error is not None)
            self._observer.called(calls, perf_counter() - begun_s, error)
        return error

    def eagerly(
        self, records: list[Record], values: list[CallResult]
    ) -> BaseException | Suspended | None:
        """As `some`, of a coroutine function, until one fails or waits; then `waited` goes on.

        No other call is begun by what waits.
        """
        begun_s = perf_counter()
        error: BaseException | None = None
        waiting: Suspended | None = None
        try:
            waiting = begin(in_a_row(self.call, records, values))
        except StreamprocError as raised:
            error = raised
        except BaseException as raised:
            error = users(raised, awaited=True)
        finally:
            del records[len(values) + 1 :]
            if calls := len(values) + (error is not None):
                self._observer.called(calls, perf_counter() - begun_s, error)
        return waiting if error is None else error

    async def _awaited(self, fields: Record, slot: Slot) -> CallResult:
        return await self.waited(self.call(fields), slot)

    async def waited(self, call: Awaitable[CallResult], slot: Slot) -> CallResult:
        """The result of one `call`, which may be what `eagerly` has begun."""
        slot.begin(self._stage)
        begun_s = self._observer.started(self._stage.name, 1)
        try:
            value = await call
            slot.end()
        except BaseException as error:
            failure = self.failure(begun_s, slot, error)
            if failure is error:
                raise
            raise failure from error
        self._observer.ended(begun_s, self._stage.name, 1)
        return NO_RESULT if value is None else value

    def failure(self, begun_s: float, slot: Slot, error: BaseException) -> BaseException:
        """What a call failed of that raised `error`; if the run is aborted, that is raised."""
        try:
            failure = slot.end_failed(users(error, awaited=True))
        except BaseException:
            self._observer.given_up(begun_s, self._stage.name, 1)
            raise
        self._observer.failed(begun_s, self._stage.name, 1, failure)
        return failure
