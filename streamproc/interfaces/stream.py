"""What a stream is made of: sources, sinks, engines, and who tracks its progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from streamproc.memory import Memory
from streamproc.record import Batch, Failed, Note
from streamproc.types import Position
from streamproc.waits import Allowance, Wait


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

    @property
    def lag(self) -> int | None:
        """Messages that wait to be read, None for what has no such thing."""

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        """The next lines, None at the end. With `Failed`: one line that is none (too long).

        It is cancelled when no more is wanted: what `receive_nowait` gives then follows what came
        before. Raises `InputError`.
        """

    def receive_nowait(self) -> tuple[Batch, Failed | None] | None:
        """The next of the lines that were read already, None if there are none: reads nothing."""

    def residue(self) -> tuple[Batch, Failed] | None:
        """Bytes after the last newline, when reading stopped before the end."""


class Sink(Opens, Protocol):
    """Where finished lines go."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def takes_messages(self) -> bool:
        """Whether it is a `MessageSink`."""

    @property
    def blocked_s(self) -> float:
        """For how long its reader took nothing, all in all; 0 where nobody reads along."""

    @property
    def written_bytes(self) -> int:
        """Bytes that were taken, exact also after an error or a cancellation."""

    @property
    def place(self) -> Position | None:
        """How far it is written, for its `position`; None if no run can go on there."""

    async def write(self, data: bytes) -> None:
        """Write whole lines. Raises `OutputError`, `ReaderGoneError`."""


class MessageSink(Sink, Protocol):
    """Where finished records go one by one, and are acknowledged later."""

    async def send(self, spans: Sequence[tuple[Batch, int, int]]) -> asyncio.Future[None]:
        """Take the spans; the receipt is done when all of it is acknowledged."""

    async def send_dead_letters(self, spans: Sequence[tuple[Batch, int, int]]) -> None:
        """Take the dead letters among them, and wait until they are acknowledged."""

    async def flush(self) -> None:
        """Acknowledge what was taken as soon as that is possible."""


class ProgressTracker(Protocol):
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

    async def settle(self) -> None:
        """Wait until all that was admitted is written, and keep that. Raises `OutputError`."""

    def stop(self) -> None:
        """`run` ends soon."""

    async def close(self, *, finished: bool) -> None:
        """Keep it a last time, after `run`. Raises `OutputError`."""


class ErrorPolicy(Protocol):
    """What failed and unfinished records are written as."""

    def refuse(self, failed: Failed, batch: Batch, i: int) -> Note:
        """Line i of `batch` failed."""

    def abandon(self, failed: Failed, batch: Batch, i: int, *, to_stdout: bool) -> Note:
        """Line i of `batch` was read and will not be finished."""


class Finished(Protocol):
    """Where engines put what they have finished."""

    unseen: int  # records finished since the writer looked last
    memory: Memory  # what is finished and not written counts there

    @property
    def counts_failures(self) -> bool:
        """Whether the run may end over the next one: each has to be told at once."""

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """Line i of `batch` is done. `line` has no newline."""

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """The lines of `batch` from `start` on are done; `notes` by index in the batch."""


class Work(Protocol):
    """Where engines take their work from.

    `is_dry`: no line can come before some of those that came are done: the input has ended, or
    the window is full.
    """

    @property
    def is_dry(self) -> bool: ...

    def on_dry(self, call: Callable[[], None]) -> None:
        """`call` when it becomes dry."""

    def take(self, most: int = 1) -> tuple[Batch, int, int] | None:
        """The next lines of a batch, from and to; None if there is none right now."""

    def give_back(self, count: int) -> None:
        """The last ones that were taken have not been begun, in the same turn of the loop."""

    async def wait(self) -> bool:
        """Wait until there may be a line to take; False at the end of input."""

    async def receive(self) -> Batch | None:
        """The next whole batch, None at the end of input."""


class WorkerState(Struct, frozen=True):
    """What a worker process does: the worker `number` has finished `done` records so far, has
    `held` of them now, and executes the calls of `in_flight`, the oldest for `oldest_s`.

    `pid` is that of its process, None before there is one.
    """

    number: int
    pid: int | None
    done: int
    held: int
    in_flight: int
    oldest_s: float


class Engine(Opens, Protocol):
    """Takes batches and finishes every line of them."""

    async def run(self, work: Work, finished: Finished) -> None:
        """Until the end of input. Raises `TooManyAbandonedError`."""

    def wind_down(self) -> None:
        """Start nothing new and cut waits short; `run` then ends with lines left open."""

    async def abort(self) -> None:
        """Cancel what is in flight and await its cleanup, 2 s at most."""

    def waits(self) -> list[Wait]:
        """What calls wait for now."""

    def allowances(self) -> list[Allowance]:
        """What targets let through now, where a monitor shows it."""

    def worker_states(self) -> list[WorkerState]:
        """Of each worker process; none where this one does the work."""

    def thaw(self) -> None:
        """The process was stopped (SIGTSTP) and goes on."""

    @property
    def workers(self) -> int:
        """How many processes do the work."""

    @property
    def restarts(self) -> int:
        """How many workers were started in the place of one that died."""

    @property
    def busy_since_s(self) -> float | None:
        """When the oldest call in flight began (monotonic clock), None if there is none."""

    @property
    def in_flight(self) -> int:
        """Records that execute a call now."""
