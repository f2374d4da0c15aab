"""Who hears of a run, and of what: observers, and events as values.

Where nothing waits, some calls at once are one event; where calls are waited for, each attempt is
one. Of a record there is one only where it is no plain success.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from msgspec import Struct

from streamproc.interfaces.following import Follow, Follower
from streamproc.interfaces.run_events import (
    BatchRead,
    BatchWritten,
    BrokersBack,
    BrokersGone,
    CheckpointSaved,
    Draining,
    ExportFailed,
    PartitionsChanged,
    RecordEnded,
    RunEnded,
    RunStarted,
    RunState,
    StageSlow,
    WorkerDied,
    WorkerRestarted,
)
from streamproc.record import Batch


class CallStarted(Struct, frozen=True):
    """An attempt that is waited for begins. `target` is whom it asks: a function is its stage.

    `fallback`: which one of those who answer instead makes it, from 1 on; 0: the stage does.
    """

    stage: str
    target: str
    attempt: int
    fallback: int = 0


class CallEnded(Struct, frozen=True):
    """It came back. `outcome` is ok, not_found (a 404), the kind of failure, or given_up: it was
    not sent after all, or the run is aborted. `status` is that of an HTTP answer.
    """

    stage: str
    target: str
    attempt: int
    outcome: str
    seconds: float
    status: int | None = None


class CallsEnded(Struct, frozen=True):
    """Some calls of plain code, one after the other, `seconds` in all; `failed` of them failed."""

    stage: str
    calls: int
    failed: int
    seconds: float


class CallFailed(Struct, frozen=True):
    """A call failed, waited for or not. `kind` and `message` as `_error` has them.

    `status` is that of an HTTP answer, None if there was none.
    """

    stage: str
    target: str
    attempt: int
    kind: str
    message: str
    status: int | None


class CallWaited(Struct, frozen=True):
    """A call waited before it could start. `reason` is what it waited for first, in the words of
    `waits.Reason`, or place: others were executing.
    """

    stage: str
    target: str
    reason: str
    seconds: float


class CallRetried(Struct, frozen=True):
    """A call that failed is made again, after a pause."""

    stage: str
    target: str
    kind: str
    pause_s: float


class CircuitChanged(Struct, frozen=True):
    """The circuit of `target` is open, half-open or closed now; it opened for a `reason`."""

    stage: str
    target: str
    state: str
    reason: str


class TargetPaused(Struct, frozen=True):
    """`target` asked to be called later (Retry-After)."""

    stage: str
    target: str
    seconds: float


class Observer:
    """Hears of a run. Only the methods that a class has of its own are called.

    They are called in the loop, so that they return at once; one that raises is told once, and
    its observer hears no more. The observers of a run are in the command's own process; what
    happens in worker processes is told there when their answers come. `wanted` are the events that
    it wants of those that it has a method for; None: all of them. One that has `follow` hears of
    single records, where they are done (`ObserverKind.follows`).
    """

    wanted: frozenset[type[Struct]] | None = None

    def choose(self, batch: Batch) -> Container[int]:
        """See `Follow`: all of them, unless it knows better."""
        return range(len(batch))

    def follow(self, batch: Batch, i: int) -> Follower | None:
        """See `Follow`."""
        return None

    def call_started(self, event: CallStarted) -> None:
        """See `CallStarted`."""

    def call_ended(self, event: CallEnded) -> None:
        """See `CallEnded`."""

    def calls_ended(self, event: CallsEnded) -> None:
        """See `CallsEnded`."""

    def call_failed(self, event: CallFailed) -> None:
        """See `CallFailed`."""

    def call_waited(self, event: CallWaited) -> None:
        """See `CallWaited`."""

    def call_retried(self, event: CallRetried) -> None:
        """See `CallRetried`."""

    def batch_read(self, event: BatchRead) -> None:
        """See `BatchRead`."""

    def batch_written(self, event: BatchWritten) -> None:
        """See `BatchWritten`."""

    def record_ended(self, event: RecordEnded) -> None:
        """See `RecordEnded`."""

    def export_failed(self, event: ExportFailed) -> None:
        """See `ExportFailed`. Told of worker processes only."""

    def state_changed(self, event: CircuitChanged | TargetPaused | RunState) -> None:
        """What all calls of a target, or all records of the run have to do with has changed."""


HEARD_BY: dict[type[Struct], str] = {
    CallStarted: "call_started",
    CallEnded: "call_ended",
    CallsEnded: "calls_ended",
    CallFailed: "call_failed",
    CallWaited: "call_waited",
    CallRetried: "call_retried",
    BatchRead: "batch_read",
    BatchWritten: "batch_written",
    RecordEnded: "record_ended",
    ExportFailed: "export_failed",
    **dict.fromkeys(
        (
            CircuitChanged,
            TargetPaused,
            RunStarted,
            Draining,
            RunEnded,
            StageSlow,
            WorkerDied,
            WorkerRestarted,
            CheckpointSaved,
            BrokersGone,
            BrokersBack,
            PartitionsChanged,
        ),
        "state_changed",
    ),
}
"""Every event, and the method that hears of it."""


class Audience(Protocol):
    """All observers of a run. `wanted` are the events that somebody listens to.

    `follow` is None where nobody follows records.
    """

    @property
    def wanted(self) -> frozenset[type[Struct]]: ...

    @property
    def follow(self) -> Follow | None: ...

    def tell(self, event: Struct) -> None:
        """Only what is wanted."""


class Nobody:
    """An audience without observers."""

    wanted: frozenset[type[Struct]] = frozenset()
    follow: Follow | None = None

    def tell(self, event: Struct) -> None:
        """See `Audience`."""


NOBODY = Nobody()
