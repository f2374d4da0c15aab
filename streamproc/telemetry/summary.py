"""The account of every record at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from streamproc.attendance import Attendance
from streamproc.codec import encode
from streamproc.counters import RunCounters, StageMetrics
from streamproc.shown import counted
from streamproc.types import JsonObject

_FAILURES = ("failed", "dead_lettered", "dropped")
_CALLS = ("requests", "retries", "cache_hits", "coalesced", "rate_limited", "circuit_opened")
_ONE = {"requests": "request", "retries": "retry", "cache_hits": "cache hit"}

_UNITS = ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))

_OF_STAGE = (
    ("skipped_when", "skipped by `when`"),
    ("skipped_missing_field", "skipped for want of a field"),
    ("not_found", "not found (404)"),
)


class Summary(Struct, frozen=True):
    """`received = ok + failed + dead_lettered + dropped + filtered + skipped + unprocessed`.

    `unselected` were passed over by `skip` and `sample`, and are not received. `failed` were
    annotated on stdout; `malformed` of all failed were no JSON objects;
    `had_error` of `ok` came in with an `_error` and went through untouched. `requests` are
    attempts where there are policies, `retries` those after the first; `stages` has the same by
    stage, with its `calls` (each attempt is one), how many failed, how long they took, with
    percentiles where they were waited for, answers that were `not_found` (404), and records that it
    `skipped`, by its `when` or for want of a field. Times in seconds, sizes in bytes;
    `records_per_second` are those that this run has done.
    """

    received: int
    ok: int
    failed: int
    malformed: int
    filtered: int
    dropped: int
    dead_lettered: int
    skipped: int
    unprocessed: int
    had_error: int
    blank: int
    lines_out: int
    bytes_in: int
    bytes_out: int
    seconds: float
    records_per_second: float
    exit_code: int
    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    coalesced: int = 0
    rate_limited: int = 0
    circuit_opened: int = 0
    unselected: int = 0
    workers: int = 1
    restarts: int = 0
    lag: int | None = None
    stages: dict[str, dict[str, Any]] = {}

    @classmethod
    def nothing(cls, exit_code: int = 0) -> Summary:
        """That of a run that has not begun."""
        return cls.of(RunCounters(), 0.0, exit_code)

    @classmethod
    def of(
        cls,
        tally: RunCounters,
        seconds: float,
        exit_code: int,
        calls: Mapping[str, StageMetrics] | None = None,
        records: Mapping[str, Attendance] | None = None,
        *,
        bytes_out: int = 0,
        workers: int = 1,
        restarts: int = 0,
        lag: int | None = None,
    ) -> Summary:
        """The summary of what `tally` and each stage's `calls` counted in `seconds`."""
        counts = {
            name: getattr(tally, name) for name in cls.__struct_fields__ if hasattr(tally, name)
        }
        called, came = calls or {}, records or {}
        for name in _CALLS:
            counts[name] = sum(getattr(each, name) for each in called.values())
        rate = round(tally.done / seconds, 1) if seconds > 0 else 0.0
        return cls(
            **counts,
            bytes_out=bytes_out,
            seconds=round(seconds, 3),
            records_per_second=rate,
            exit_code=exit_code,
            workers=workers,
            restarts=restarts,
            lag=lag,
            stages={
                name: _of_calls(called.get(name)) | _of_records(came.get(name))
                for name in {**came, **called}
            },
        )

    def json(self) -> str:
        """One line."""
        return encode(structs.asdict(self)).decode()

    def text(self) -> str:
        """For people: what is zero is left out."""
        parts = [f"{counted(self.received, 'record')} in {self.seconds:.2f} s"]
        parts.append(f"{self.records_per_second:,.0f}/s")
        names = (
            "ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed",
            "unselected", "had_error", "blank",
        )  # fmt: skip
        parts += [
            f"{getattr(self, name):,} {name.replace('_', '-')}{self._of_malformed(name)}"
            for name in names
            if name == "ok" or getattr(self, name)
        ]
        parts += [
            f"{number:,} {_ONE.get(name, words) if number == 1 else words}"
            for name, words in ((name, name.replace("_", " ")) for name in _CALLS)
            if (number := getattr(self, name))
        ]
        if self.workers > 1:
            parts.append(f"{self.workers} workers, each with its share of the limits")
        if self.lag:
            parts.append(f"{counted(self.lag, 'message')} behind")
        if self.restarts:
            parts.append(counted(self.restarts, "restart"))
        # of the only stage that calls anything the records per second tell as much
        is_timed = sum(bool(counts.get("calls")) for counts in self.stages.values()) > 1
        stages = [
            (name, [*(_timing(counts) if is_timed else ()), *_words(counts)])
            for name, counts in self.stages.items()
        ]
        more = [f"; {name}: {', '.join(words)}" for name, words in stages if words]
        return "streamproc: " + ", ".join(parts) + "".join(more)

    def _of_malformed(self, name: str) -> str:
        """How many of those that failed were malformed, beside the first place they ended in."""
        ended = [each for each in _FAILURES if getattr(self, each)]
        if not self.malformed or name not in ended[:1]:
            return ""
        failed = sum(getattr(self, each) for each in ended)
        if self.malformed == failed and len(ended) == 1:
            return " (all malformed)" if failed > 1 else " (malformed)"
        return f" ({self.malformed:,} malformed)"


def _words(counts: JsonObject) -> list[str]:
    return [f"{counts[key]:,} {what}" for key, what in _OF_STAGE if counts.get(key)]


def _timing(counts: JsonObject) -> list[str]:
    if not counts.get("calls"):
        return []
    return [f"{counted(counts['calls'], 'call')}, {duration_text(counts['mean_s'])} each"]


def duration_text(seconds: float) -> str:
    """As 1.23 ms."""
    factor, unit = next((each for each in _UNITS if seconds * each[0] >= 0.9995), _UNITS[-1])
    return f"{seconds * factor:.3g} {unit}"


def _of_calls(calls: StageMetrics | None) -> JsonObject:
    if calls is None:
        return {}
    calls.settled()
    names = (*_CALLS, "not_found", "fallbacks") if calls.has_policies else ()
    counts: dict[str, Any] = {name: getattr(calls, name) for name in names}
    counts |= calls.others
    counts |= {"calls": calls.calls, "failed_calls": calls.failed_calls}
    counts["total_s"] = round(calls.total_s, 6)
    counts["mean_s"] = round(calls.total_s / calls.calls, 9) if calls.calls else None
    for percent in (50, 95, 99):
        seconds = calls.percentile_s(percent / 100)
        counts[f"p{percent}_s"] = None if seconds is None else round(seconds, 6)
    return counts


def _of_records(records: Attendance | None) -> JsonObject:
    if records is None:
        return {}
    names = ("skipped", "skipped_when", "skipped_missing_field")
    return {name: getattr(records, name) for name in names}
