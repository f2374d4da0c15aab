"""What failed, by kind: the first of each is told when it happens, all of them at the end.

The log tells of the others, too, by their ids, for who asks for that much (debug).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from itertools import groupby

from streamproc.call_metrics import kind_of
from streamproc.record import Batch, Example, Failed, id_of
from streamproc.shown import one_line

log = logging.getLogger("streamproc")

SHOWN = 10  # groups of a digest
_MOST = 100  # groups that are remembered: statuses and kinds come from outside
_PLACES = 3  # of a group
_WHY = 350  # characters
_WHERE = 200
_LATEST = 20  # records that are kept for who wants to see some, so much of each in bytes
_RECORD_BYTES = 2000

Place = tuple[str, int]
"""File and line."""


class Failures:
    """Failures with the same stage, kind and status (or type of exception) are one group."""

    def __init__(self, run_id: str = "") -> None:
        self._run_id = run_id
        self._told: set[tuple[str, str, str]] = set()
        self._groups: dict[tuple[str, str, str], Alike] = {}
        self.ends: Counter[tuple[str, str, str]] = Counter()  # by status, stage and kind
        self.latest: deque[Example] = deque(maxlen=_LATEST)

    def happened(self, batch: Batch, i: int, failed: Failed) -> None:
        """Line i of `batch` failed just now, and will be written."""
        file, line = _place(batch, i)
        record = batch.lines[i][:_RECORD_BYTES]
        why = failed.stage, failed.kind, failed.message[:_WHY]
        name = id_of(self._run_id, batch.cursor, i)
        self.latest.append(Example(name, file, line, *why, record))
        key = failed.stage, failed.kind, failed.group
        if key not in self._told and len(self._told) < _MOST:
            self._told.add(key)
            is_raised = failed.kind == "exception" and failed.group
            is_shown = not is_raised or log.isEnabledFor(logging.DEBUG)
            more = "" if is_shown else "; log level debug has the traceback"
            log.warning("%s: %s (the first of its kind%s)", name, failed, more)
        else:
            log.debug("%s: %s", name, failed)

    @property
    def total(self) -> int:
        """All that are written."""
        return self.ends.total()

    def count(self, batch: Batch, i: int, failed: Failed, status: str) -> None:
        """It is written, and ended so."""
        self.ends[status, failed.stage, kind_of(failed.kind)] += 1
        key = failed.stage, failed.kind, failed.group
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _MOST:
                return
            group = self._groups[key] = Alike(failed)
        group.count += 1
        if len(group.places) < _PLACES:
            group.places.append(_place(batch, i))

    @property
    def groups(self) -> list[Alike]:
        """Those that are remembered, the largest first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)

    def digest(self) -> list[str]:
        """A line per group, the largest first; no more than ten, and what is left out."""
        groups = self.groups[:SHOWN]
        lines = [str(group) for group in groups]
        if rest := self.total - sum(group.count for group in groups):
            lines.append(f"and {rest:,} of other kinds")
        if lines:
            lines[0] = f"{self.total:,} failed: {lines[0]}"
        return lines


class Alike:
    """Some failures that are alike; `failed` is the first of them."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed
        self.count = 0
        self.places: list[Place] = []

    @property
    def where(self) -> str:
        """The places that are remembered, and whether there are more."""
        by_file = groupby(self.places, key=lambda place: place[0])
        where = ", ".join(
            f"{file}:{', '.join(str(line) for _, line in places)}" for file, places in by_file
        )
        more = ", …" if self.count > len(self.places) else ""
        return one_line(where, _WHERE) + more

    def __str__(self) -> str:
        return f"{self.count:,} × {one_line(str(self.failed), _WHY)} ({self.where})"


def _place(batch: Batch, i: int) -> Place:
    return batch.cursor.file, batch.cursor.line + i
