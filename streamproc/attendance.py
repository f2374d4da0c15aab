"""Who came to a stage and was not served: records that it skipped, fields that none of them had."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from msgspec import Struct, field

from streamproc.paths import Path
from streamproc.types import Record

ENOUGH = 20  # records, to say that a field does not exist
_MOST_NAMES = 100
_NAME_CHARACTERS = 100


class Absence(Struct):
    """A field that `records` did not have; `names` are those beside which it was looked for.

    `depth` is where in its path the search ended.
    """

    records: int = 0
    depth: int = 0
    names: set[str] = field(default_factory=set)

    def count(self, depth: int, beside: Record, records: int = 1) -> None:
        """Some more records did not have it."""
        if depth > self.depth:
            self.depth = depth
            self.names.clear()
        if depth == self.depth and self.records < ENOUGH:
            room = _MOST_NAMES - len(self.names)
            self.names.update(name[:_NAME_CHARACTERS] for name in islice(beside, room))
        self.records += records


class Watch(Struct):
    """Fields that a stage names. `absent` are those that no record had so far.

    Members called as in `made` come from the stages before, which may have given nothing: to
    lack one of them says nothing about its name, and neither does a null on the way to a field.
    Those called as in `texts` look as if a text were meant.
    """

    fields: Sequence[Path] = ()
    made: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    absent: dict[Path, Absence] = field(default_factory=dict)

    def begin(self) -> Watch:
        """All of them are absent."""
        self.absent = {path: Absence() for path in self.fields}
        return self

    def look(self, record: Record) -> None:
        """A record came. Only while something is absent: mostly that is the first record."""
        for path, absence in list(self.absent.items()):
            value: Any = record
            for depth, name in enumerate(path):
                if isinstance(value, list) or value is None:
                    break
                members = value if isinstance(value, dict) else {}
                if name not in members:
                    if depth or name not in self.made:
                        absence.count(depth, members)
                    break
                value = members[name]
            else:
                del self.absent[path]

    def add(self, other: Watch) -> None:
        """What `other` saw was seen."""
        for path, absence in list(self.absent.items()):
            if (theirs := other.absent.get(path)) is None:
                del self.absent[path]
            else:
                absence.count(theirs.depth, dict.fromkeys(theirs.names), theirs.records)


class Attendance(Struct):
    """Counts of one stage's records.

    `wanted` are those for which its `when` was true. `asked_for` is what that looks at, `used`
    what the stage itself does, `answered` what its `select` looks at in answers.
    """

    wanted: int = 0
    skipped_when: int = 0
    skipped_missing_field: int = 0
    asked_for: Watch = field(default_factory=Watch)
    used: Watch = field(default_factory=Watch)
    answered: Watch = field(default_factory=Watch)

    @property
    def skipped(self) -> int:
        """For whatever reason."""
        return self.skipped_when + self.skipped_missing_field

    def add(self, other: Attendance) -> None:
        """Count what `other` counted as well."""
        self.wanted += other.wanted
        self.skipped_when += other.skipped_when
        self.skipped_missing_field += other.skipped_missing_field
        self.asked_for.add(other.asked_for)
        self.used.add(other.used)
        self.answered.add(other.answered)

    def reset(self) -> None:
        """Begin again."""
        self.wanted = self.skipped_when = self.skipped_missing_field = 0
        self.asked_for.begin()
        self.used.begin()
        self.answered.begin()
