"""What a record's call goes through: enrichers, visits, policies, stages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from streamproc.interfaces.corridor import Opens
from streamproc.record import CallTally


class Enricher(Opens, Protocol):
    """A stage's call: record in, result out.

    `inline` calls return at once, `awaited` ones return a coroutine; None is nothing to
    add. `layered` ones have policies around them: they take a `Visit` too, keep their own
    time limits, and return `NOTHING` when there is nothing to add.
    """

    @property
    def mode(self) -> Literal["inline", "awaited", "layered"]: ...

    @property
    def call(self) -> Callable[..., Any]: ...


class Timed(Protocol):
    """What a time limit belongs to."""

    @property
    def name(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...


class Call(Protocol):
    """What one record asks of a target, as policies see it.

    `target` is whom limits and breakers are kept for; as text it is `https://host:port`, or
    the stage's name. `is_idempotent`: asking twice does no harm. `sent`: bytes of the present
    attempt have left. `is_negative`: the answer says that there is none (a 404).
    """

    target: Hashable
    is_idempotent: bool
    sent: bool
    is_negative: bool

    def key(self) -> bytes:
        """The same for equal calls, and for no others."""


class Fork(Protocol):
    """A call that runs beside the records which wait for it."""

    answer: asyncio.Future[Any]

    def cancel(self) -> None:
        """Nobody waits for it any more."""


class Flight(Protocol):
    """A call whose answer is for more than one record."""

    @property
    def is_wanted(self) -> bool:
        """Whether others than the one that makes it wait for it."""


class Visit(Protocol):
    """A record's stay at a stage: its time limits, its place, its patience.

    One visit belongs to one task; all methods are for that task only.
    """

    attempts: int  # begun at this stage
    held_s: float  # time spent waiting for a target that cannot be called now
    deadline_s: float | None  # when the record has to be done, by the monotonic clock
    only: frozenset[str] | None  # the sources to call, None for all
    leads: Flight | None  # a call of this record that others wait for, too

    def begin(self, timed: Timed) -> None:
        """An attempt begins; after `timed.timeout_s` the task is cancelled."""

    def end(self) -> None:
        """The attempt came back. Raises `RecordError` if its time had been over."""

    def end_failed(self, error: BaseException) -> BaseException:
        """The attempt raised `error`: what it failed of. A shutdown's cancellation is raised."""

    async def pause(self, seconds: float) -> None:
        """Wait, while another record has the place. Raises `Unfinished`."""

    async def wait(self, turn: asyncio.Future[Any]) -> Any:
        """The result of `turn`; another record has the place meanwhile. Raises `Unfinished`."""

    async def wait_for_call(self, answer: asyncio.Future[Any]) -> Any:
        """As `wait`, for a call that somebody else makes: not cut short by a shutdown."""

    def fork(self, job: Callable[[Visit], Awaitable[Any]], *, takes_place: bool) -> Fork:
        """Run `job` in a task with a visit and, if it takes one, a place of its own."""


Inner = Callable[[Any, Visit], Awaitable[Any]]
"""A call with some policies around it: takes a `Call` and the record's `Visit`."""


class Gate:
    """Whether the stage's targets may be called. Who waited asks again: see `RecheckError`."""

    def __init__(self) -> None:
        self.is_shut: Callable[[Hashable], bool] = lambda target: False


class RecheckError(Exception):
    """The circuit opened while a call waited behind it: back to the breaker."""


class Site(Struct, frozen=True):
    """What the layers of one stage know of it."""

    name: str
    timeout_s: float
    counts: CallTally
    has_fallback: bool = False
    max_wait_s: float = 300.0
    gate: Gate = field(default_factory=Gate)


class Layer(Protocol):
    """A policy: a frozen value object, which is also its table in the pipeline file."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""


class Stage(Struct, frozen=True):
    """One stage, assembled: an enricher, and where its result goes.

    `into` is the path of the result, None merges a dict at the top level; `replaces`
    puts the result in the record's place. `when` decides from the record's fields.
    `keeps_answers`: what a call answers is worth waiting for, also when the run is aborted.
    `sources` are the names of those that it asks at once. `limits_s` are all time limits
    that run in it.
    """

    name: str
    enricher: Enricher
    into: tuple[str, ...] | None = None
    when: Callable[[dict[str, Any]], Any] | None = None
    timeout_s: float = 30.0
    replaces: bool = False
    sources: frozenset[str] = frozenset()
    limits_s: tuple[float, ...] = ()
    keeps_answers: bool = False
