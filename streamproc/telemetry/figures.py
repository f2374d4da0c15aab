"""What the page shows, in JSON: one reading, and how the run has gone so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from streamproc.call_metrics import RECORDS
from streamproc.interfaces import CircuitChanged, TargetPaused
from streamproc.secrets import excerpt
from streamproc.shown import one_line
from streamproc.telemetry.course import Change, Course
from streamproc.telemetry.history import Point
from streamproc.telemetry.hook_events import name_of
from streamproc.telemetry.narrowest import Narrowest
from streamproc.telemetry.reading import Reading
from streamproc.types import JsonObject, JsonValue
from streamproc.version import __version__
from streamproc.waits import Wait

_ENDS = ("ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed")
_RECORD = 200  # characters
_PARTITIONS = 50  # those that are furthest behind
_COUNTED = ("stage", "counts")  # of an event: they stand elsewhere
_MESSAGES = ("error", "reason", "brokers", "partitions")


class Box(Struct, frozen=True):
    """A stage of the pipeline, and the `sources` that it asks at once, if it has some."""

    name: str
    sources: tuple[str, ...] = ()


class Figures:
    """`shows_records`: what comes from records, and messages of errors, may be seen."""

    def __init__(self, course: Course, boxes: Sequence[Box], *, shows_records: bool) -> None:
        self._course = course
        self._boxes = boxes
        self._shows_records = shows_records

    def of(self, reading: Reading, state: str) -> JsonObject:
        """What is so now; `state` of the run, in a word."""
        summary = reading.summary
        return {
            "version": __version__,
            "began_s": round(self._course.began_s, 3),
            "at_s": summary.seconds,
            "state": state,
            "received": summary.received - summary.skipped,
            "ended": {name: getattr(summary, name) for name in _ENDS},
            "bytes_in": summary.bytes_in,
            "bytes_out": summary.bytes_out,
            "written_bytes": reading.written_bytes,
            "size_bytes": reading.size_bytes,
            "left_s": reading.left_s,
            "where": {
                "waiting": reading.waiting,
                "calling": reading.calling,
                "finished": reading.reorder_buffer,
            },
            "oldest_s": round(reading.oldest_s, 1),
            "narrowest": self._narrowest(reading, self._course.narrowest),
            "boxes": [structs.asdict(box) for box in self._boxes],
            "stages": self._stages(reading),
            "targets": self._targets(reading),
            "workers": summary.workers,
            "by_worker": [structs.asdict(each) for each in reading.workers],
            "restarts": summary.restarts,
            "lag": summary.lag,
            "partitions": sorted(reading.lags.items(), key=lambda each: -each[1])[:_PARTITIONS],
            "point": None if (last := self._course.history.last) is None else _plain(last),
            "slowest": [
                [round(slow.seconds, 3), slow.stage, one_line(slow.record)]
                for slow in sorted(reading.calls.slowest, reverse=True)
            ],
            "examples": self.examples(reading),
        }

    def history(self) -> list[JsonValue]:
        """All points, as their fields without names."""
        return [_plain(point) for point in self._course.history.points]

    def changes(self, reading: Reading, after: int = 0) -> list[JsonObject]:
        """Changes of state, without the first `after`."""
        return [self._change(reading, each) for each in self._course.changes(after)]

    def _narrowest(self, reading: Reading, found: Narrowest) -> dict[str, str]:
        boxes = {source: box.name for box in self._boxes for source in (box.name, *box.sources)}
        why = found.why
        if found.wait is not None and self._shown(reading, found.wait.target) == RECORDS:
            why = found.wait.reason.replace("_", " ")
        return {"part": found.part, "stage": boxes.get(found.stage, found.stage), "why": why}

    def _stages(self, reading: Reading) -> list[JsonObject]:
        failures: dict[str, dict[str, int]] = {}
        for (_, stage, kind), count in reading.failed.items():
            kinds = failures.setdefault(stage, {})
            kinds[kind] = kinds.get(kind, 0) + count
        known = {name: {"name": name} | each for name, each in reading.summary.stages.items()}
        names = [*known, *(name for name in failures if name not in known)]
        return [known.get(n, {"name": n}) | {"failures": failures.get(n, {})} for n in names]

    def _targets(self, reading: Reading) -> list[JsonObject]:
        waits: dict[str, list[Wait]] = {}
        labels = {each.target for each in reading.allowances}
        for wait in reading.waits:
            waits.setdefault(wait.target if wait.target in labels else RECORDS, []).append(wait)
        return [
            structs.asdict(each) | {"waits": [_wait(wait) for wait in waits.get(each.target, [])]}
            for each in reading.allowances
        ]

    def examples(self, reading: Reading) -> list[JsonObject] | None:
        """The last records that failed; None where nothing of records may be seen."""
        if not self._shows_records:
            return None
        return [
            {
                "id": one_line(each.id),
                "file": one_line(each.file),
                "line": each.line,
                "stage": each.stage,
                "kind": one_line(each.kind),
                "message": one_line(each.message),
                "record": one_line(excerpt(each.record, _RECORD)),
            }
            for each in reading.examples
        ]

    def _change(self, reading: Reading, change: Change) -> JsonObject:
        event = change.event
        said: dict[str, Any] = {"number": change.number, "at_s": round(change.at_s, 3)}
        said |= {"stage": getattr(event, "stage", ""), "target": ""}
        if isinstance(event, TargetPaused):
            target = self._shown(reading, event.target)
            return said | {"target": target, "state": "paused", "seconds": round(event.seconds, 1)}
        if isinstance(event, CircuitChanged):
            target = self._shown(reading, event.target)
            reason = one_line(event.reason) if self._shows_records else ""
            return said | {"target": target, "state": event.state, "reason": reason}
        hidden = _COUNTED if self._shows_records else (*_COUNTED, *_MESSAGES)
        facts = {
            k: v for k, v in structs.asdict(event).items() if v is not None and k not in hidden
        }
        reason = one_line(", ".join(f"{name} {value}" for name, value in facts.items()))
        return said | {"state": (name_of(event) or "").replace("_", " "), "reason": reason}

    def _shown(self, reading: Reading, target: str) -> str:
        """`target`, unless a record named it and nothing of records may be seen."""
        if self._shows_records or target in {"", *(each.target for each in reading.allowances)}:
            return one_line(target)
        return RECORDS


def _plain(point: Point) -> list[JsonValue]:
    *counts, stages = structs.astuple(point)
    return [*counts, {name: structs.astuple(each) for name, each in stages.items()}]


def _wait(wait: Wait) -> JsonObject:
    left_s = None if wait.left_s is None else round(wait.left_s, 1)
    return {"reason": wait.reason, "waiting": wait.waiting, "left_s": left_s}
