"""Counts: of a run, of a stage's calls."""

from __future__ import annotations

import sys
from array import array
from collections import Counter

from msgspec import Struct, field

from streamproc.record import Note

# A duration is counted by the 16 highest bits of its number (IEEE 754): its power of two, and 16
# steps in it. That is done for some at once, without a step of Python for each.
_STEPS = 16
_BUCKETS = 64 * _STEPS  # from 2^-40 s on
_FIRST = (1023 - 40) * _STEPS
_HIGHEST = 3 if sys.byteorder == "little" else 0  # of the four parts of a number
_AT_ONCE = 1024


class StageMetrics(Struct):
    """Counts of one stage's calls. `not_found`: answers that there is nothing (404).

    `calls` came back, in `total_s` all together; of calls with policies each attempt is one, and
    `requests` are those that began. `buckets` count calls that were waited for by duration.
    `recent` are durations of such calls that are nowhere counted yet, and `untimed` how many there
    are beside them, which take as long as the others do: see `settled`. Of those, `ahead` are still
    to be made. `others` are
    what policies of plugins count, by name. `has_policies`: what they do is counted.
    """

    has_policies: bool = False
    calls: int = 0
    failed_calls: int = 0
    total_s: float = 0.0
    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    coalesced: int = 0
    rate_limited: int = 0
    circuit_opened: int = 0
    not_found: int = 0
    fallbacks: int = 0
    untimed: int = 0
    ahead: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    recent: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def took(self, seconds: float) -> None:
        """A call that was waited for lasted `seconds`."""
        self.recent.append(seconds)
        if len(self.recent) >= _AT_ONCE:
            self.settled()

    def settled(self) -> StageMetrics:
        """Itself, with everything counted."""
        recent = array("d", self.recent)
        self.recent.clear()
        self.calls += len(recent)
        self.total_s += sum(recent)
        if self.calls and (made := self.untimed - self.ahead):
            self.total_s *= 1 + made / self.calls
            self.calls += made
            self.untimed = self.ahead
        highest = array("H", recent.tobytes())[_HIGHEST::4]
        for bits, count in Counter(highest).items():
            self.buckets[min(max(bits - _FIRST, 0), _BUCKETS - 1)] += count
        return self

    def add(self, other: StageMetrics) -> None:
        """Count what `other` counted as well."""
        self.settled()
        other.settled()
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.others.update(other.others)
        self.buckets = list(map(int.__add__, self.buckets, other.buckets))

    def reset(self) -> None:
        """Begin again."""
        for name in _NUMBERS:
            setattr(self, name, 0)
        self.untimed = self.ahead = 0
        self.others.clear()
        self.recent.clear()
        self.buckets = [0] * _BUCKETS

    @property
    def histogram(self) -> list[tuple[float, int]]:
        """From how many seconds on, how many of those that were timed: four steps a doubling."""
        counts = self.settled().buckets
        steps = range(0, _BUCKETS, _STEPS // 4)
        found = [(_least_s(step), sum(counts[step : step + _STEPS // 4])) for step in steps]
        taken = [i for i, (_, count) in enumerate(found) if count]
        return found[taken[0] : taken[-1] + 1] if taken else []

    def percentile_s(self, share: float) -> float | None:
        """The duration that `share` of those calls stayed below, within 4%; None if none."""
        self.settled()
        rank = share * sum(self.buckets)
        for bucket, count in enumerate(self.buckets):
            rank -= count
            if rank <= 0 < count:
                return (_least_s(bucket) + _least_s(bucket + 1)) / 2
        return None


def _least_s(bucket: int) -> float:
    """The shortest duration that is counted there."""
    power, step = divmod(bucket, _STEPS)
    return float(2.0 ** (power - 40) * (1 + step / _STEPS))


_NUMBERS = StageMetrics.__struct_fields__[1:-5]


class RunCounters(Struct):
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
    def done(self) -> int:
        """Those that this run has brought there."""
        return self.ended - self.skipped - self.unprocessed

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
