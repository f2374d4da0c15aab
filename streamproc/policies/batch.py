"""Micro-batches: single records in, one call with a list, single results out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, cast

from msgspec import Meta, Struct, field

from streamproc.errors import RecordError
from streamproc.interfaces import (
    FOLLOWED,
    Call,
    Follower,
    Fork,
    Inner,
    Policy,
    Site,
    Standing,
    Visit,
)
from streamproc.types import CallResult
from streamproc.units import Seconds


class Many(Struct):
    """Some calls as one. See `interfaces.Call`."""

    calls: list[Any]
    target: Hashable
    is_idempotent: bool
    sent: bool = False
    is_negative: bool = False
    status: int | None = None
    standing: Standing = field(default_factory=Standing)

    def __str__(self) -> str:
        return f"{len(self.calls)} × {self.calls[0]}"


class Batching(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists of at most `size`; the first of them waits for `wait` at most.

    Answers come in the order of the list; with `key` (http) they are matched by that
    member instead.
    """

    shorthand: ClassVar[str] = "size"

    size: Annotated[int, Meta(ge=1)] = 50
    wait: Seconds = cast("Seconds", 0.02)
    key: str | None = None

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if "python" in stage and isinstance(stage["batch"], dict) and "key" in stage["batch"]:
            yield "batch.key: a python stage's results are matched by position"

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` takes `Many` and returns a list; each result may be a `RecordError`."""
        waiting = _Gathering(self, inner, is_patient=True)
        hasty = _Gathering(self, inner, is_patient=False)

        def gathered(call: Call, visit: Visit) -> Awaitable[CallResult]:
            return (waiting if call.standing.is_patient else hasty).one(call, visit)

        return gathered


class _Waiting(NamedTuple):
    """A record, and who follows it: the list is a call of the first that somebody follows."""

    call: Any
    visit: Visit
    answer: asyncio.Future[Any]
    follower: Follower | None


class _Gathering:
    """The records that wait for their list, which is sent when nobody can join it any more.

    `is_patient`: they wait for a target that is away, as those with an older answer do not.
    """

    def __init__(self, batch: Batching, inner: Inner, *, is_patient: bool) -> None:
        self._is_patient = is_patient
        self._size = batch.size
        self._wait_s = batch.wait
        self._inner = inner
        self._gathered: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None

    async def one(self, call: Call, visit: Visit) -> CallResult:
        """The record's part of the answer. Raises what the call raised."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._gathered.append(_Waiting(call, visit, answer, FOLLOWED.get()))
        if len(self._gathered) >= self._size:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait_s, self._send)
        result = await visit.gather(answer, self._send)
        if isinstance(result, RecordError):
            raise result
        return result

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        gathered = [each for each in gathered if not each.answer.done()]  # some may be cancelled
        if not gathered:
            return
        first = gathered[0].call
        many = Many([each.call for each in gathered], first.target, first.is_idempotent)
        many.standing.is_patient = self._is_patient

        async def all_at_once(own: Visit) -> list[CallResult]:
            FOLLOWED.set(next((each.follower for each in gathered if each.follower), None))
            results: list[Any] = await self._inner(many, own)
            own.share.divide(each.visit.share for each in gathered if not each.answer.done())
            return results

        fork = gathered[0].visit.fork(all_at_once)
        for each in gathered:
            fork.serve(each.visit)
        answers = [each.answer for each in gathered]

        def stop_if_unwanted(_: object) -> None:
            if not fork.answer.done() and all(answer.done() for answer in answers):
                fork.cancel()

        for answer in answers:
            answer.add_done_callback(stop_if_unwanted)
        fork.answer.add_done_callback(lambda _: _hand_out(fork, gathered))


def _hand_out(fork: Fork, gathered: list[_Waiting]) -> None:
    done = fork.answer
    error = None if done.cancelled() else done.exception()
    for k, (_, visit, answer, _) in enumerate(gathered):
        if answer.done():  # its visit may be at another record
            continue
        visit.attempts = fork.attempts
        if done.cancelled():
            answer.cancel()
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result()[k])
