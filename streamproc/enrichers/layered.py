"""A stage's call with its policies around it, as the engine calls it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Literal, Protocol, Self

from streamproc.attendance import Attendance
from streamproc.entering import Stacked
from streamproc.interfaces import Inner, Opens, Site, Visit
from streamproc.policies.stack import Opened, stack
from streamproc.record import NO_RESULT
from streamproc.threads import aside
from streamproc.types import CallResult, Record


class Asks(Opens, Protocol):
    """What is asked: `prepare` makes a call of a record (None: not for this one)."""

    @property
    def prepare(self) -> Callable[[Record], object]:
        """Record → call."""

    @property
    def call(self) -> Inner:
        """Call → answer, to be awaited. The visit is for the layers around it."""


class LayeredEnricher(Stacked):
    """`outer` layers see the record, `layers` the call that was prepared of it.

    All of them are opened for as long as it is entered.
    """

    mode: Literal["layered"] = "layered"

    def __init__(
        self,
        asks: Asks,
        site: Site,
        layers: Sequence[Opened],
        outer: Sequence[Opened] = (),
    ) -> None:
        self._asks = asks
        self.replaces: bool = getattr(asks, "replaces", False)
        self._site = site
        self._layers = layers
        self._outer = outer
        self._stack = AsyncExitStack()
        self.call: Inner = self._not_entered

    @property
    def site(self) -> Site:
        """What the layers know of the stage, counts included."""
        return self._site

    @property
    def source(self) -> str:
        """Whom it asks, for people."""
        return self._site.source

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            enter = exits.enter_async_context
            layers, outer = [[await enter(each) for each in opened]
                             for opened in (self._layers, self._outer)]  # fmt: skip
            await enter(self._asks)
            self._stack = exits.pop_all()
        asked = stack(layers, self._asks.call, self._site)
        self.call = stack(outer, _prepared(self._asks.prepare, asked, self._site), self._site)
        return self

    async def _not_entered(self, call: object, visit: Visit) -> CallResult:
        raise RuntimeError("enter the stage first")


def _prepared(prepare: Callable[[Record], object], asked: Inner, site: Site) -> Inner:
    records = site.records
    watch = records.used

    def from_fields(fields: Record, visit: Visit) -> Awaitable[CallResult]:
        if watch.absent:
            watch.look(fields)
        if visit.share.is_long:
            return from_long(fields, visit)
        call = prepare(fields)
        return _nothing(records) if call is None else asked(call, visit)

    async def from_long(fields: Record, visit: Visit) -> CallResult:
        call = await aside(prepare, fields)
        return await (_nothing(records) if call is None else asked(call, visit))

    return from_fields


async def _nothing(records: Attendance) -> CallResult:
    records.skipped_missing_field += 1
    return NO_RESULT
