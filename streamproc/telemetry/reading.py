"""What a monitor shows of a run: one reading of what others count anyway."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from streamproc.call_metrics import CallMetrics
from streamproc.interfaces import WorkerState
from streamproc.record import Example
from streamproc.telemetry.summary import Summary
from streamproc.waits import Allowance, Wait


class Reading(Struct, frozen=True):
    """Of one moment, and nothing in it changes afterwards.

    `failed` is by status, stage and kind. `reorder_buffer`: records that are done and not written.
    `oldest_s`: for how long the oldest call has been in flight. `calling` are records in a call
    that is waited for, `waiting` those that are read and wait for one. `written_bytes` are those
    of the input whose records are done, of `size_bytes` if that is known; `left_s` until all are.
    `examples` are the last that failed. `lags` are messages that wait, by partition.
    """

    summary: Summary
    calls: CallMetrics = field(default_factory=CallMetrics)
    failed: dict[tuple[str, str, str], int] = {}
    allowances: list[Allowance] = []
    in_flight: int = 0
    reorder_buffer: int = 0
    oldest_s: float = 0.0
    is_draining: bool = False
    calling: int = 0
    waiting: int = 0
    written_bytes: int = 0
    size_bytes: int | None = None
    left_s: float | None = None
    waits: list[Wait] = []
    examples: list[Example] = []
    workers: list[WorkerState] = []
    lags: Mapping[str, int] = {}

    @property
    def degraded(self) -> list[dict[str, str]]:
        """Targets whose circuits are not closed, each with its worst state."""
        return [
            {"target": each.target, "circuit": state}
            for each in self.allowances
            for state in [next((s for s in ("open", "half-open") if each.circuits.get(s)), "")]
            if state
        ]
