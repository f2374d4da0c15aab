"""Calls by target, and how long they took: what is counted only where a monitor shows it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Hashable
from functools import lru_cache
from heapq import heappush, heappushpop
from math import fsum
from time import perf_counter
from typing import NamedTuple, Protocol, Self

from msgspec import Struct, field

BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
_SLOWEST = 10  # records that are remembered
_RECENT = 1000  # durations that are not counted yet
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
    """A histogram: how many lasted up to each of `BOUNDS_S`, and at last those beyond.

    `recent_s` are not in it yet: many at once take a fraction of the time.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0
    recent_s: list[float] = field(default_factory=list)

    def took(self, seconds: float) -> None:
        """One more."""
        recent_s = self.recent_s
        recent_s.append(seconds)
        if len(recent_s) >= _RECENT:
            self.settled()

    def settled(self) -> Self:
        """The same, and all are in it."""
        ordered, before = sorted(self.recent_s), 0
        for i, stop in enumerate((*(bisect_right(ordered, each) for each in BOUNDS_S), None)):
            until = len(ordered) if stop is None else stop
            self.counts[i] += until - before
            before = until
        self.total_s += fsum(ordered)
        self.recent_s.clear()
        return self

    def add(self, other: Durations) -> None:
        """Count what `other` counted as well."""
        self.counts = list(map(int.__add__, self.settled().counts, other.settled().counts))
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
    slowest records, which are slower than `slow_s`. `attempts` have ended, and are in none of
    these yet.
    """

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    retries: Counter[tuple[str, str]] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    lookups: Counter[tuple[str, str]] = field(default_factory=Counter)
    request_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    rate_wait_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    record_s: defaultdict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    slowest: list[Slow] = field(default_factory=list)
    slow_s: float = -1.0
    attempts: list[tuple[str, str, int | None, float]] = field(default_factory=list)

    def took(self, target: str, outcome: str, status: int | None, seconds: float) -> None:
        """An attempt ended."""
        attempts = self.attempts
        attempts.append((target, outcome, status, seconds))
        if len(attempts) >= _RECENT:
            self.settled()

    def settled(self) -> Self:
        """The same, and all attempts are in it."""
        alike: defaultdict[tuple[str, str, int | None], list[float]] = defaultdict(list)
        for target, outcome, status, seconds in self.attempts:
            alike[target, outcome, status].append(seconds)
        for (target, outcome, status), took_s in alike.items():
            self.requests[target, outcome, class_of(status)] += len(took_s)
            durations = self.request_s[target]
            durations.recent_s += took_s
            durations.settled()
        self.attempts.clear()
        return self

    def note(self, slow: Slow) -> None:
        """Keep it if it is one of the slowest."""
        if len(self.slowest) < _SLOWEST:
            heappush(self.slowest, slow)
        else:
            heappushpop(self.slowest, slow)
        if len(self.slowest) == _SLOWEST:
            self.slow_s = self.slowest[0].seconds

    def add(self, other: CallMetrics) -> None:
        """Count what `other` counted as well."""
        self.settled()
        other.settled()
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
        self.slow_s = -1.0
        for name in self.__struct_fields__:
            if name != "slow_s":
                getattr(self, name).clear()

    def copy(self) -> CallMetrics:
        """What was counted until now."""
        made = CallMetrics()
        made.add(self)
        return made


class _Named(Protocol):
    @property
    def record_id(self) -> str: ...


class RecordTimes:
    """How long records take at one stage with policies, waits included."""

    __slots__ = ("_metrics", "_stage")

    def __init__(self, metrics: CallMetrics, stage: str) -> None:
        self._metrics = metrics
        self._stage = stage

    def passed(self, begun_s: float, visit: _Named) -> None:
        """The record of `visit` is through, whatever became of it; it came at `begun_s`."""
        took_s, metrics = perf_counter() - begun_s, self._metrics
        metrics.record_s[self._stage].took(took_s)
        if took_s > metrics.slow_s:
            metrics.note(Slow(took_s, self._stage, visit.record_id))
