"""Calls by target, and how long they took: what is counted only where a monitor shows it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable
from functools import lru_cache
from heapq import heappush, heappushpop
from typing import NamedTuple

from msgspec import Struct, field

BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
_SLOWEST = 10  # records that are remembered
_REMEMBERED = 1000  # labels: to make one for each attempt would be most of what a monitor costs
RECORDS = "(record)"  # all targets that records name: who writes records writes no labels
OTHER = "other"
_KINDS = frozenset(
    {
        "malformed", "not_an_object", "too_long", "too_deep", "missing_field", "exception",
        "timeout", "deadline", "connect", "dns", "tls", "reset", "http_status", "throttled",
        "bad_answer", "answer_too_large", "bad_number", "unavailable", "schema", "worker_crash",
        "sink", "shutdown",
    }
)  # fmt: skip


@lru_cache(_REMEMBERED)
def label_of(target: Hashable) -> str:
    """What metrics call it."""
    return RECORDS if getattr(target, "is_from_record", False) else str(target)


def kind_of(kind: str) -> str:
    """`kind` of a failure if it is one of ours: code of users may have taken it from a record."""
    return kind if kind in _KINDS else OTHER


@lru_cache(_REMEMBERED)
def class_of(status: int | None) -> str:
    """Of a status: `5xx`; nothing where nobody answered in HTTP."""
    return "" if status is None else f"{status // 100}xx"


class Durations(Struct):
    """A histogram: how many lasted up to each of `BOUNDS_S`, and at last those beyond."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def took(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def add(self, other: Durations) -> None:
        """Count what `other` counted as well."""
        self.counts = list(map(int.__add__, self.counts, other.counts))
        self.total_s += other.total_s


class Slow(NamedTuple):
    """What a stage took for a record, waits included."""

    seconds: float
    stage: str
    record: str


class CallMetrics(Struct):
    """Counts of one run.

    `requests` by target, outcome and class of the status; `retries` by target and reason;
    `transitions` of circuits by target and new state; `lookups` in caches by stage and result.
    `request_s` and `rate_wait_s` are by target, `record_s` by stage. `slowest` is a heap of the
    slowest records.
    """

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    retries: Counter[tuple[str, str]] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    lookups: Counter[tuple[str, str]] = field(default_factory=Counter)
    request_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    rate_wait_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    record_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    slowest: list[Slow] = field(default_factory=list)

    def took(self, target: str, outcome: str, status: int | None, seconds: float) -> None:
        """An attempt ended."""
        self.requests[target, outcome, class_of(status)] += 1
        self.request_s[target].took(seconds)

    def note(self, slow: Slow) -> None:
        """Keep it if it is one of the slowest."""
        if len(self.slowest) < _SLOWEST:
            heappush(self.slowest, slow)
        else:
            heappushpop(self.slowest, slow)

    def is_slow(self, seconds: float) -> bool:
        """Whether one that took so long would be kept."""
        return len(self.slowest) < _SLOWEST or seconds > self.slowest[0].seconds

    def add(self, other: CallMetrics) -> None:
        """Count what `other` counted as well."""
        for name in ("requests", "retries", "transitions", "lookups"):
            getattr(self, name).update(getattr(other, name))
        for name in ("request_s", "rate_wait_s", "record_s"):
            mine = getattr(self, name)
            for label, durations in getattr(other, name).items():
                mine[label].add(durations)
        for slow in other.slowest:
            self.note(slow)

    def reset(self) -> None:
        """Begin again."""
        for name in self.__struct_fields__:
            getattr(self, name).clear()

    def copy(self) -> CallMetrics:
        """What was counted until now."""
        made = CallMetrics()
        made.add(self)
        return made
