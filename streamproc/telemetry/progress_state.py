"""How far a run is at one moment, in words and in JSON."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct, structs

from streamproc.codec import encode
from streamproc.shown import counted
from streamproc.telemetry.summary import duration_text
from streamproc.waits import Wait

_OLD_S = 1.0  # a call that is worth a word
_CALLS = ("retries", "cache_hits", "circuit_opened")
_STANDSTILL = ("circuit_open", "retry_after")  # what is past says nothing about the rest


class StageState(Struct, frozen=True):
    """The calls of one stage; rates are averages over the last 10 s."""

    name: str
    calls: int
    failed_calls: int
    calls_per_second: float
    mean_s: float | None
    p95_s: float | None
    retries: int
    cache_hits: int
    circuit_opened: int


class ProgressState(Struct, frozen=True):
    """`share` of the input is done, where its size is known; `left_s` is how long the rest takes.

    `behind`: messages that wait to be read. `held_by` is what most of the run waits for.
    """

    records: int
    share: float | None
    seconds: float
    records_per_second: float
    left_s: float | None
    failed: int
    in_flight: int
    behind: int | None
    oldest_s: float | None
    held_by: Wait | None
    stages: list[StageState]

    @property
    def is_at_a_standstill(self) -> bool:
        """Whether nothing is known about the rest."""
        return self.held_by is not None and self.held_by.reason in _STANDSTILL


def line_of(state: ProgressState) -> str:
    """The most important first: what does not fit is cut off."""
    share = "" if state.share is None else f" ({state.share:.0%})"
    parts = [
        f"{counted(state.records, 'record')}{share} in {duration(state.seconds)}",
        rate(state.records_per_second),
    ]
    if state.held_by is not None:
        parts.insert(0 if state.is_at_a_standstill else len(parts), words(state.held_by))
    if state.left_s is not None and not state.is_at_a_standstill:
        parts.append(f"{duration(state.left_s)} to go")
    if state.failed:
        parts.append(f"{state.failed:,} failed")
    parts.append(f"{state.in_flight:,} in flight")
    if state.behind is not None:
        parts.append(f"{state.behind:,} behind")
    if state.oldest_s is not None and state.oldest_s >= _OLD_S:
        parts.append(f"oldest {state.oldest_s:.0f} s")
    counts = {name: sum(getattr(each, name) for each in state.stages) for name in _CALLS}
    return ", ".join(parts + _nonzero(counts))


def line_of_stage(state: StageState) -> str:
    """The same of one stage, to stand below."""
    parts = [f"  {state.name}: {counted(state.calls, 'call')}", rate(state.calls_per_second)]
    if state.mean_s is not None:
        parts.append(f"mean {duration_text(state.mean_s)}")
    if state.p95_s is not None:
        parts.append(f"p95 {duration_text(state.p95_s)}")
    if state.failed_calls:
        parts.append(f"{state.failed_calls:,} failed")
    return ", ".join(parts + _nonzero({name: getattr(state, name) for name in _CALLS}))


def json_line(state: ProgressState) -> str:
    """For scripts. `stages` are by name; seconds and shares are rounded."""
    fields = structs.asdict(state)
    fields["stages"] = {each.name: _rounded(structs.asdict(each), "name") for each in state.stages}
    if (wait := state.held_by) is not None:
        fields["held_by"] = {"reason": wait.reason, "target": wait.target, "left_s": wait.left_s}
    if state.is_at_a_standstill:
        fields["left_s"] = None
    return encode({"progress": _rounded(fields)}).decode()


def duration(seconds: float) -> str:
    """As 0:01:05."""
    return str(timedelta(seconds=round(seconds)))


def rate(per_second: float) -> str:
    """As 12/s."""
    return f"{per_second:,.{0 if per_second >= 10 or not per_second else 1}f}/s"


def words(wait: Wait) -> str:
    """What the run waits for, for people."""
    left = "" if wait.left_s is None else f", {max(1, round(wait.left_s))} s left"
    match wait.reason:
        case "circuit_open":
            host = wait.target.partition("://")[2] or wait.target
            why = f"{wait.symptom} × {wait.failures}{left or ', trying now'}"
            return f"waiting for the circuit of {host} ({why})"
        case "retry_after":
            return f"paused by Retry-After{left}"
        case "rate_limited":
            return "rate limit"
        case "concurrency":
            return "concurrency limit"
        case "reader":
            return "reader is slow"


def _nonzero(counts: dict[str, int]) -> list[str]:
    return [f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n]


def _rounded(fields: dict[str, object], *without: str) -> dict[str, object]:
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in fields.items()
        if name not in without
    }
