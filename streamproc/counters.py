"""Counts: of a run, of a stage's calls."""

from __future__ import annotations

from collections import Counter
from math import exp2, log2

from msgspec import Struct, field

from streamproc.record import Note

_BUCKETS = 16 * 64  # 16 to a doubling of the duration, from 2^-40 s on
_FROM = 16 * 40
_NONE_S = 2.0**-40


class CallTally(Struct):
    """Counts of one stage's calls. `not_found`: answers that there is nothing (404).

    `buckets` count attempts by duration: 16 to a doubling of it. `others` are what policies of
    plugins count, by name.
    """

    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    coalesced: int = 0
    rate_limited: int = 0
    circuit_opened: int = 0
    not_found: int = 0
    fallbacks: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    others: Counter[str] = field(default_factory=Counter)

    def took(self, seconds: float) -> None:
        """An attempt lasted `seconds`."""
        self.buckets[int(log2(seconds + _NONE_S) * 16 + _FROM)] += 1

    def add(self, other: CallTally) -> None:
        """Count what `other` counted as well."""
        for name in self.__struct_fields__[:-2]:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.others.update(other.others)
        self.buckets = list(map(int.__add__, self.buckets, other.buckets))

    def reset(self) -> None:
        """Begin again."""
        for name in self.__struct_fields__[:-2]:
            setattr(self, name, 0)
        self.others.clear()
        self.buckets = [0] * _BUCKETS

    def percentile_s(self, share: float) -> float | None:
        """The duration that `share` of all attempts stayed below, within 3%; None if none."""
        rank = share * sum(self.buckets)
        for bucket, count in enumerate(self.buckets):
            rank -= count
            if rank <= 0 < count:
                return exp2((bucket - _FROM + 0.5) / 16)
        return None


class Tally(Struct):
    """Counts of one run. `lines` are physical lines; a record is a line that is not blank.

    Those that a selection passed over are `unselected`, and not received.
    """

    lines: int = 0
    blank: int = 0
    ok: int = 0
    failed: int = 0
    malformed: int = 0
    filtered: int = 0
    dropped: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    unprocessed: int = 0
    unselected: int = 0
    had_error: int = 0
    lines_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    abandoned: int = 0

    @property
    def received(self) -> int:
        """Records read."""
        return self.lines - self.blank - self.unselected

    @property
    def ended(self) -> int:
        """Records that reached one of the places where a record can end."""
        return (
            self.ok + self.failed + self.dead_lettered + self.dropped
            + self.filtered + self.skipped + self.unprocessed
        )  # fmt: skip

    @property
    def errors(self) -> int:
        """Records that failed, whatever became of them."""
        return self.failed + self.dead_lettered + self.dropped

    def count(self, note: Note) -> None:
        """Count one line with a note."""
        setattr(self, note.status, getattr(self, note.status) + 1)
        self.malformed += note.malformed
        self.had_error += note.had_error
        self.lines_out += note.lines_out
