"""The contracts between the rooms: one verb each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from msgspec import Struct, field

from streamproc.record import Batch, CallTally, Failed, Note


class Opens(Protocol):
    """Declared first, entered later: constructing touches nothing."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Source(Opens, Protocol):
    """Where batches come from."""

    @property
    def size_bytes(self) -> int | None:
        """Bytes of all input, where that is known: for the ETA."""

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end. With `Failed`: one line that is none (too long).

        Cancelling it while it waits loses nothing. Raises `InputError`.
        """

    def receive_nowait(self) -> tuple[Batch, Failed | None] | None:
        """The next of the lines that were read already, None if there are none: reads nothing."""

    def residue(self) -> tuple[Batch, Failed] | None:
        """Bytes after the last newline, when reading stopped before the end of input."""


class Sink(Opens, Protocol):
    """Where finished lines go."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def takes_messages(self) -> bool:
        """Whether it is a `MessageSink`."""

    @property
    def written_bytes(self) -> int:
        """Bytes that were taken, exact also after an error or a cancellation."""

    @property
    def place(self) -> tuple[int, int] | None:
        """The open file and the offset up to which it is written, None if it is no file."""

    async def write(self, data: bytes) -> None:
        """Write whole lines. Raises `OutputError`, `ReaderGoneError`."""


class MessageSink(Sink, Protocol):
    """Where finished records go one by one, and are acknowledged later."""

    async def send(self, spans: Sequence[Any]) -> asyncio.Future[None]:
        """Take the spans; the receipt is done when all of it is acknowledged."""

    async def flush(self) -> None:
        """Acknowledge what was taken as soon as that is possible."""


class Keeper(Protocol):
    """Remembers how far the input is done, and tells those who want to know."""

    @property
    def keeps_rest(self) -> bool:
        """Whether what is not written now is done by a later run, or a script."""

    async def begin(self, sink: Sink, dead_letters: Sink | None) -> None:
        """The outputs are open and nothing is written yet. Raises `OutputError`."""

    def admit(self, batch: Batch) -> None:
        """The next batch of the input."""

    def written(self, batch: Batch, start: int, stop: int) -> None:
        """The lines `start` to `stop` of `batch` are written."""

    def flushed(self) -> None:
        """All that `written` was told of is flushed, and nothing else is."""

    async def run(self) -> None:
        """Keep it, now and then, until `stop`. Raises `OutputError`."""

    def stop(self) -> None:
        """`run` ends soon."""

    async def close(self, *, finished: bool) -> None:
        """Keep it a last time, after `run`. Raises `OutputError`."""


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

    `target` is whom limits and breakers are kept for (`https://host:port`, or the
    stage's name). `is_idempotent`: asking twice does no harm. `sent`: bytes of the present
    attempt have left. `is_negative`: the answer says that there is none (a 404).
    """

    target: str
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
        self.is_shut: Callable[[str], bool] = lambda target: False


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


class Finished(Protocol):
    """Where engines put what they have finished."""

    unseen: int  # records finished since the writer looked last

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """Line i of `batch` is done. `line` has no newline."""

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """The lines of `batch` from `start` on are done; `notes` by index in the batch."""


class Work(Protocol):
    """Where engines take their work from."""

    def take(self) -> tuple[Batch, int] | None:
        """The next line, None if there is none right now."""

    async def wait(self) -> bool:
        """Wait until there may be a line to take; False at the end of input."""

    async def receive(self) -> Batch | None:
        """The next whole batch, None at the end of input."""


class Engine(Opens, Protocol):
    """Takes batches and finishes every line of them."""

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises `TooManyAbandonedError`."""

    def wind_down(self) -> None:
        """Start nothing new and cut waits short; `run` then ends with lines left open."""

    async def abort(self) -> None:
        """Cancel what is in flight and await its cleanup, 2 s at most."""

    @property
    def busy_since_s(self) -> float | None:
        """When the oldest call in flight began (monotonic clock), None if there is none."""

    @property
    def in_flight(self) -> int:
        """Records that execute a call now."""
