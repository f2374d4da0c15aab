"""What makes a run that ended well a run that did nothing, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streamproc.attendance import ENOUGH, Absence, Attendance
from streamproc.counters import StageMetrics
from streamproc.nearest import closest
from streamproc.paths import Path
from streamproc.shown import counted
from streamproc.telemetry.summary import Summary

_SHOWN = 5  # names of fields


def mistakes(records: Mapping[str, Attendance]) -> list[str]:
    """Fields that a stage names and that are never there: an error of the person."""
    return [_told(each) for each in _missed(records) if each.absence.records >= ENOUGH]


def doubts(records: Mapping[str, Attendance]) -> list[str]:
    """The same where the records are too few to know, and one is called nearly so."""
    return [
        _told(each)
        for each in _missed(records)
        if 0 < each.absence.records < ENOUGH and _meant(each.path, each.absence)
    ]


def idleness(records: Mapping[str, Attendance], calls: Mapping[str, StageMetrics]) -> Iterator[str]:
    """Stages that did nothing for any record, which may be right."""
    for name, each in records.items():
        wanted = each.wanted
        if each.skipped_when and not wanted:
            yield f"stage {name}: {_all(each.skipped_when, 'record')} skipped: `when` is false"
    for name, call in calls.items():
        if call.requests and call.not_found == call.requests:
            yield f"stage {name}: {_all(call.requests, 'answer')} 404, not found: see its URL"


def untouched(summary: Summary, incoming_errors: str) -> Iterator[str]:
    """Records that failed before, came in again, and were not asked for again."""
    came, all_came = summary.had_error, summary.received - summary.skipped
    if not came or (came < all_came and incoming_errors != "redo"):
        return
    passed = f"{counted(came, 'record')} came in with an _error and passed untouched"
    if incoming_errors == "redo":
        yield f"{passed}: pipe them through streamproc replay --failed-only before"
    else:
        yield (
            f"{passed}: streamproc replay FILE gives back the originals; after replay "
            "--failed-only the run needs --incoming-errors redo"
        )


class _Missed(NamedTuple):
    """A field that nobody had of whom `stage` expected it."""

    stage: str
    who: str
    path: Path
    absence: Absence
    texts: frozenset[str]


def _missed(records: Mapping[str, Attendance]) -> Iterator[_Missed]:
    for name, each in records.items():
        watches = ("record", each.used), ("record", each.asked_for), ("answer", each.answered)
        for who, watch in watches:
            for path, absence in watch.absent.items():
                yield _Missed(name, who, path, absence, watch.texts)


def _told(missed: _Missed) -> str:
    path, absence = missed.path, missed.absence
    said = f'stage {missed.stage}: no {missed.who} has the field "{".".join(path)}"'
    meant = _meant(path, absence)
    if len(path) == 1 and path[0] in missed.texts:
        text = f"a text stands in single quotes: '{path[0]}'"
        return f'{said}, did you mean "{meant[0]}"? {text}' if meant else f"{said}; {text}"
    if meant:
        return f'{said}, did you mean "{".".join(meant)}"?'
    beside = sorted(absence.names)
    more = ", …" if len(beside) > _SHOWN else ""
    has = f"; there are {', '.join(beside[:_SHOWN])}{more}" if beside else ""
    return f"{said}{has}; --allow-empty if none needs to have it"


def _meant(path: Path, absence: Absence) -> Path | None:
    match = closest(path[absence.depth], sorted(absence.names))
    return (*path[: absence.depth], match, *path[absence.depth + 1 :]) if match else None


def _all(count: int, what: str) -> str:
    return f"the only {what} was" if count == 1 else f"all {count:,} {what}s were"
