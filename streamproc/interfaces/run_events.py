"""What happens to a whole run, as values: batches, ends of records, states."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class BatchRead(Struct, frozen=True):
    """Some `lines` were read, the first of them `line` of `file` (of a topic: its offset)."""

    file: str
    line: int
    lines: int
    n_bytes: int


class BatchWritten(Struct, frozen=True):
    """Some `lines` of the input are done: what they turned into is written, `n_bytes` of output."""

    lines: int
    n_bytes: int


class RecordEnded(Struct, frozen=True):
    """A record is done, and is no plain success. `outcome` is failed, dead_lettered, dropped,
    filtered, or unprocessed; for one that failed `stage`, `kind` and `message` say why.

    `id` is what stands in its `_error` as well.
    """

    id: str
    file: str
    line: int
    outcome: str
    stage: str = ""
    kind: str = ""
    message: str = ""


class RunStarted(Struct, frozen=True):
    """Source, stages and sink are open. `pipeline` are the names of its stages."""

    pipeline: str


class Draining(Struct, frozen=True):
    """A signal: nothing more is read, and the `records` that were read are finished."""

    records: int


class RunEnded(Struct, frozen=True):
    """All is closed. `counts` is the summary; `error` what ended the run, None for its input.

    It comes also after a start that failed, and then without a `RunStarted` before it.
    """

    exit_code: int
    error: str | None
    counts: dict[str, Any]


class StageSlow(Struct, frozen=True):
    """Plain code kept the event loop for so many `seconds`, which is told once.

    Of one of several stages in a row it is not known which: then `stage` names them all.
    """

    stage: str
    seconds: float


class WorkerDied(Struct, frozen=True):
    """A worker process is gone. `reason`: how it ended."""

    worker: int
    reason: str


class WorkerRestarted(Struct, frozen=True):
    """Another one is there in its place."""

    worker: int


class CheckpointSaved(Struct, frozen=True):
    """A checkpoint says that so many `lines` of the input are done, from the first one on."""

    lines: int


class BrokersGone(Struct, frozen=True):
    """None of these can be reached; the run waits for them."""

    brokers: str


class BrokersBack(Struct, frozen=True):
    """One of them answers again."""

    brokers: str


class PartitionsChanged(Struct, frozen=True):
    """These are read from here on, with commas: TOPIC/PARTITION."""

    partitions: str


class ExportFailed(Struct, frozen=True):
    """Some of `what` an observer sends elsewhere cannot be sent. `reason`: why that is so from now
    on; without one, `lost` are how many were not sent in all, at the end.
    """

    what: str
    reason: str = ""
    lost: int = 0


RunState = (
    RunStarted
    | Draining
    | RunEnded
    | StageSlow
    | WorkerDied
    | WorkerRestarted
    | CheckpointSaved
    | BrokersGone
    | BrokersBack
    | PartitionsChanged
)
