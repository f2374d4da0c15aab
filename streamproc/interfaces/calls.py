"""What a record's call goes through: enrichers, visits, policies, stages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

from streamproc.call_metrics import RecordTimes
from streamproc.interfaces.stage_observer import StageObserver
from streamproc.interfaces.stream import Opens
from streamproc.types import CallResult

T = TypeVar("T")


class Enricher(Opens, Protocol):
    """A stage's call: record in, result out.

    `inline` calls return at once, `awaited` ones return a coroutine; None is nothing to
    add. `layered` ones have policies around them: they take a `Visit` too, keep their own
    time limits, and return `NO_RESULT` when there is nothing to add. `replaces`: the result is
    the record from then on.
    """

    @property
    def replaces(self) -> bool: ...

    @property
    def mode(self) -> Literal["inline", "awaited", "layered"]: ...

    @property
    def call(self) -> Callable[..., CallResult]: ...


class Timed(Protocol):
    """What a time limit belongs to."""

    @property
    def name(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...


class Standing(Struct):
    """What the gate of its target knows of a call: of its present start, and of earlier ones.

    `serial`: how many calls had begun at the gate when it started. `failures`: attempts that
    failed; `failed_as`: which of the calls that ever failed there it is. `is_first`: nothing
    came of it yet. `refusals`: how often the target asked it to come later, last when
    `refused_at` calls had begun. `probes`: starts through a circuit that was not closed.
    `epoch`, `cuts`, `doubt`: of the circuit, of the adaptive limit, of the doubt whether the target
    is down, when it started. `is_patient`:
    it waits for an open circuit. `visit`: whose call it is.
    """

    serial: int = 0
    epoch: int = 0
    cuts: int = 0
    doubt: int = 0
    is_first: bool = True
    failures: int = 0
    failed_as: int = 0
    refusals: int = 0
    refused_at: int = 0
    probes: int = 0
    is_patient: bool = True
    gate: WriteGate | None = None
    visit: Visit | None = None


class WriteGate(Protocol):
    """Asked by a client that has to open a connection before it can write a request."""

    def postpone(self, standing: Standing) -> None:
        """The request is not written yet: others may have its token meanwhile."""

    def may_write(self, standing: Standing) -> bool:
        """Whether it may be written now; if not, the client raises `RecheckError`."""

    def answering(self, standing: Standing) -> None:
        """An answer that is no 5xx has begun to come, and the rest of it has to wait here."""


class Call(Protocol):
    """What one record asks of a target, as policies see it.

    `target` is whom limits and breakers are kept for; as text it is `https://host:port`, or
    the stage's name. `is_idempotent`: asking twice does no harm. `sent`: bytes of the present
    attempt have left. `is_negative`: the answer says that there is none (a 404). `status`: that
    of the last answer, where there are such things.
    """

    target: Hashable
    is_idempotent: bool
    sent: bool
    is_negative: bool
    status: int | None
    standing: Standing

    def key(self) -> bytes:
        """The same for equal calls, and for no others."""

    def __str__(self) -> str:
        """What is asked, for people: method and URL without secrets, or the stage's name."""


class Fork(Protocol):
    """A call that runs beside the records which wait for it, with as much time as they have."""

    answer: asyncio.Future[Any]

    @property
    def attempts(self) -> int:
        """How many it has begun; that stays when it is over."""

    def serve(self, visit: Visit) -> None:
        """The record of `visit` waits for it, too."""

    def cancel(self) -> None:
        """Nobody waits for it any more."""


class Door(Protocol):
    """What a call needs besides its place; see `engines.capacity`."""

    def start_next(self) -> bool:
        """Start the call that is next, with a place that it is given; False if none can start."""


class Room(Protocol):
    """The places, as doors see them."""

    def want(self, age: int, door: Door) -> bool:
        """A call of this age could start at `door`: whether there is a place, which it has then."""

    def queue(self, age: int, door: Door) -> None:
        """The same, and a free place waits for `fill`: it may be somebody else's."""

    def fill(self) -> None:
        """Hand out what is free, to the oldest first."""


class Share(Protocol):
    """What a record holds of the memory that all may hold, beyond its line."""

    is_long: bool  # it is of so long a text that it takes long to write, too

    @property
    def has_room(self) -> bool:
        """Whether it may hold more: it is the oldest under way, or there is enough for all."""

    def hold(self, n_bytes: int) -> None:
        """Hold so much more, room or not, until the record is done or the attempt fails."""

    def let_go(self, n_bytes: int) -> None:
        """Hold so much less."""

    def divide(self, others: Iterable[Share]) -> None:
        """Others hold it from now on, in equal parts, and each may have what is long of it."""

    def wait(self, go_on: Callable[[], None]) -> None:
        """There is no room: `go_on` is called when there is. That time is not the call's."""

    def go_on(self) -> None:
        """It need not wait any more."""

    async def reserve(self, n_bytes: int, *, is_long: bool = False) -> None:
        """Hold so much more as soon as there is room; for what `is_long`, perhaps."""


class Visit(Protocol):
    """A record's stay at a stage: its time limits, its place, its patience.

    One visit belongs to one task; all methods are for that task only, `granted` apart.
    """

    attempts: int  # begun at this stage
    held_s: float  # time spent waiting for a target that cannot be called now
    deadline_s: float | None  # when the record has to be done, by the monotonic clock
    only: frozenset[str] | None  # the sources to call, None for all
    may_start: bool  # it has a place, and the run is not ending

    @property
    def age(self) -> int:
        """Smaller for records that came earlier."""

    @property
    def record_id(self) -> str:
        """What the record is called in `_error` and logs."""

    @property
    def room(self) -> Room:
        """Where places come from."""

    @property
    def share(self) -> Share:
        """What its record holds."""

    def granted(self) -> None:
        """It has a place from here on; it had none."""

    def release(self) -> None:
        """Give the place back, if it has one."""

    def hand_over(self, other: Visit) -> None:
        """`other` goes on now, and this one ends: its place is worth more there."""

    def begin(self, timed: Timed) -> None:
        """An attempt begins; after `timed.timeout_s` the task is cancelled."""

    def end(self) -> None:
        """The attempt came back. Raises `RecordError` if its time had been over."""

    def end_failed(self, error: BaseException) -> BaseException:
        """The attempt raised `error`: what it failed of. A shutdown's cancellation is raised."""

    async def pause(self, seconds: float) -> None:
        """Wait, without a place: around attempts, never in one. Raises `Unfinished`."""

    async def wait(self, turn: asyncio.Future[T]) -> T:
        """The result of `turn`, waited for without a place. Raises `Unfinished`."""

    async def wait_for_call(self, answer: asyncio.Future[T]) -> T:
        """As `wait`, for a call that somebody else makes: not cut short by a shutdown."""

    async def gather(self, answer: asyncio.Future[T], send: Callable[[], None]) -> T:
        """As `wait_for_call`, for a list that others may join; `send` when nobody can any more."""

    def fork(
        self,
        job: Callable[[Visit], Awaitable[CallResult]],
        on_lost: Callable[[BaseException], None] | None = None,
    ) -> Fork:
        """Run `job` in a task with a visit of its own, as old as this one.

        It gets the place of this one, if there is one: this one is about to wait for it.
        `on_lost` hears of an end that `job` may not: it was cancelled, or given up.
        """


Inner = Callable[[Any, Visit], Awaitable[CallResult]]
"""A call with some policies around it: takes the record, or further in a `Call`, and its visit."""


class RecheckError(Exception):
    """The moment for which a start was granted has passed: back to the gate."""


class Stage(Struct, frozen=True):
    """One stage, assembled: an enricher, and where its result goes.

    `into` is the path of the result, None merges a dict at the top level; `replaces`
    puts the result in the record's place. `when` decides from the record's fields.
    `keeps_answers`: what a call answers is worth waiting for, also when the run is aborted.
    `sources` are the names of those that it asks at once. `limits_s` are all time limits
    that run in it. `is_users`: code runs in it that is not ours. `observer` is told of its
    calls; where it has policies they tell. `times` are what a monitor shows of its records then.
    """

    name: str
    enricher: Enricher
    observer: StageObserver
    into: tuple[str, ...] | None = None
    when: Callable[[dict[str, Any]], Any] | None = None
    timeout_s: float = 30.0
    replaces: bool = False
    sources: frozenset[str] = frozenset()
    limits_s: tuple[float, ...] = ()
    keeps_answers: bool = False
    is_users: bool = False
    times: RecordTimes | None = None
