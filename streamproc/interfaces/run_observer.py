"""What is told of a run beside its calls: see `run_events`."""

from __future__ import annotations

from collections.abc import Iterable

from streamproc.interfaces.observers import NOBODY, Audience
from streamproc.interfaces.run_events import (
    BatchRead,
    BatchWritten,
    BrokersBack,
    BrokersGone,
    CheckpointSaved,
    Draining,
    PartitionsChanged,
    RecordEnded,
)
from streamproc.record import FAILURES, FILTERED, UNPROCESSED, Batch, Note, id_of

_ENDS = (*FAILURES, FILTERED, UNPROCESSED)


class RunObserver:
    """Tells the observers of the run `run_id` what they want to hear."""

    __slots__ = ("_audience", "run_id")

    def __init__(self, run_id: str = "", audience: Audience = NOBODY) -> None:
        self._audience = audience
        self.run_id = run_id

    def read(self, batch: Batch) -> None:
        """It came from the source."""
        if BatchRead in self._audience.wanted:
            file, line = batch.cursor[:2]
            self._audience.tell(BatchRead(file, line, len(batch), batch.n_bytes))

    @property
    def is_told_of_writes(self) -> bool:
        """Whether anybody hears of `written`."""
        return BatchWritten in self._audience.wanted

    def written(self, lines: int, n_bytes: int) -> None:
        """So many lines of the input, with this output."""
        self._audience.tell(BatchWritten(lines, n_bytes))

    @property
    def is_told_of_ends(self) -> bool:
        """Whether anybody hears of `ended`."""
        return RecordEnded in self._audience.wanted

    def ended(self, batch: Batch, i: int, note: Note) -> None:
        """Line i of `batch` has this end."""
        if note.status in _ENDS and self.is_told_of_ends:
            file, line = batch.cursor.file, batch.cursor.line + i
            where = id_of(self.run_id, batch.cursor, i), file, line, note.status
            failed = note.failed
            why = () if failed is None else (failed.stage, failed.kind, failed.message)
            self._audience.tell(RecordEnded(*where, *why))

    def draining(self, records: int) -> None:
        """Nothing more is read, and so many are to be finished."""
        if Draining in self._audience.wanted:
            self._audience.tell(Draining(records))

    def saved(self, lines: int) -> None:
        """A checkpoint says that so many are done."""
        if CheckpointSaved in self._audience.wanted:
            self._audience.tell(CheckpointSaved(lines))

    def brokers_changed(self, brokers: str, *, are_there: bool) -> None:
        """None of them answers any more, or one does again."""
        kind = BrokersBack if are_there else BrokersGone
        if kind in self._audience.wanted:
            self._audience.tell(kind(brokers))

    def partitions_changed(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Which are read."""
        if PartitionsChanged in self._audience.wanted:
            names = [f"{topic}/{partition}" for topic, partition in sorted(partitions)]
            self._audience.tell(PartitionsChanged(", ".join(names)))


UNOBSERVED = RunObserver()
