"""What makes a run that ended well a run that did nothing, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamproc.attendance import ENOUGH, Absence, Attendance, Path
from streamproc.counters import CallTally

_SHOWN = 5  # names of fields


def mistakes(records: Mapping[str, Attendance]) -> list[str]:
    """Fields that a stage names and no record has: an error of the person, not of the records."""
    return [
        f"stage {name}: {_absent(path, absence)}"
        for name, each in records.items()
        for path, absence in (each.used.absent | each.asked_for.absent).items()
        if absence.records >= ENOUGH
    ]


def idleness(records: Mapping[str, Attendance], calls: Mapping[str, CallTally]) -> Iterator[str]:
    """Stages that did nothing for any record, which may be right."""
    for name, each in records.items():
        wanted = each.wanted
        if each.skipped_when and not wanted:
            yield f"stage {name}: {_all(each.skipped_when, 'record')} skipped: `when` is false"
    for name, call in calls.items():
        if call.requests and call.not_found == call.requests:
            yield f"stage {name}: {_all(call.requests, 'answer')} 404, not found: see its URL"


def _absent(path: Path, absence: Absence) -> str:
    from difflib import get_close_matches

    said = f'no record has the field "{".".join(path)}"'
    beside = sorted(absence.names)
    if match := get_close_matches(path[absence.depth], beside, 1):
        meant = (*path[: absence.depth], match[0], *path[absence.depth + 1 :])
        return f'{said}, did you mean "{".".join(meant)}"?'
    more = ", …" if len(beside) > _SHOWN else ""
    has = f"; there are {', '.join(beside[:_SHOWN])}{more}" if beside else ""
    return f"{said}{has}; --allow-empty if none needs to have it"


def _all(count: int, what: str) -> str:
    return f"the only {what} was" if count == 1 else f"all {count:,} {what}s were"
