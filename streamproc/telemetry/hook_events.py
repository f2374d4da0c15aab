"""The events that hooks hear of: their names, and what each has as a dict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from msgspec import Struct, structs

from streamproc.interfaces import (
    BrokersBack,
    BrokersGone,
    CheckpointSaved,
    CircuitChanged,
    Draining,
    PartitionsChanged,
    RecordEnded,
    RunEnded,
    RunStarted,
    StageSlow,
    TargetPaused,
    WorkerDied,
    WorkerRestarted,
)
from streamproc.record import FAILURES
from streamproc.telemetry.summary import Summary
from streamproc.types import JsonObject

HookEvent = Literal[
    "run_started", "run_ended", "draining", "record_failed", "stage_slow", "circuit_opened",
    "circuit_closed", "target_paused", "worker_died", "worker_restarted", "checkpoint_saved",
    "brokers_gone", "brokers_back", "partitions_changed",
]  # fmt: skip
EVENTS: tuple[str, ...] = get_args(HookEvent)
ALL = "*"

_STRUCTS: dict[str, type[Struct]] = {
    "run_started": RunStarted,
    "run_ended": RunEnded,
    "draining": Draining,
    "record_failed": RecordEnded,
    "stage_slow": StageSlow,
    "circuit_opened": CircuitChanged,
    "circuit_closed": CircuitChanged,
    "target_paused": TargetPaused,
    "worker_died": WorkerDied,
    "worker_restarted": WorkerRestarted,
    "checkpoint_saved": CheckpointSaved,
    "brokers_gone": BrokersGone,
    "brokers_back": BrokersBack,
    "partitions_changed": PartitionsChanged,
}
_NAMES = {struct: name for name, struct in _STRUCTS.items()}
_CIRCUITS = {"open": "circuit_opened", "closed": "circuit_closed"}
_OF_ALL = ("event", "time", "run_id")
_INNER = ("counts",)  # what is in it stands beside it


def struct_of(name: str) -> type[Struct]:
    """What observers are told when the event `name` happens."""
    return _STRUCTS[name]


def name_of(event: Struct) -> str | None:
    """Which event it is, None for one that hooks do not hear of."""
    if isinstance(event, CircuitChanged):
        return _CIRCUITS.get(event.state)
    if isinstance(event, RecordEnded) and event.outcome not in FAILURES:
        return None
    return _NAMES[type(event)]


def fields_of(name: str) -> set[str]:
    """The keys of its dict."""
    found = {*_OF_ALL, *_STRUCTS[name].__struct_fields__}.difference(_INNER)
    if name == "run_ended":
        found.update(Summary.__struct_fields__)
    return found | ({"left_out"} if name == "record_failed" else set())


def as_dict(name: str, event: Struct, run_id: str) -> JsonObject:
    """The event as handlers get it."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields = structs.asdict(event)
    for inner in _INNER:
        fields = fields.pop(inner, {}) | fields
    return {"event": name, "time": time, "run_id": run_id} | fields
