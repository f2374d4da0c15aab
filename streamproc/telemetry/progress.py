"""How far the run is, on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from streamproc.counters import RunCounters, StageMetrics
from streamproc.shown import counted, one_line
from streamproc.telemetry.terminal import ERASE, Beside, columns
from streamproc.waits import Wait

_EVERY_S = 0.2
_OVER_S = 10.0  # what rates are averages of
_ETA_AFTER_S = 3.0  # before that nothing is known about the rest
_OLD_S = 1.0  # a call that is worth a word
_CALLS = ("retries", "cache_hits", "circuit_opened")
_STANDSTILL = ("circuit_open", "retry_after")  # what is past says nothing about the rest


class Position(NamedTuple):
    """How far the output is: records, and bytes of the input that they came from."""

    at_s: float
    records: int
    n_bytes: int


class Averages:
    """Over the last 10 s."""

    def __init__(self, start: Position) -> None:
        self._past = deque([start])

    def add(self, now: Position) -> None:
        """`now` is the last one."""
        self._past.append(now)
        while len(self._past) > 2 and self._past[1].at_s <= now.at_s - _OVER_S:
            self._past.popleft()

    @property
    def records_per_second(self) -> float:
        """Records written."""
        first, last = self._past[0], self._past[-1]
        return (last.records - first.records) / max(last.at_s - first.at_s, 1e-6)

    def left_s(self, left_bytes: int) -> float | None:
        """Until `left_bytes` more are done, None if that would be a guess."""
        first, last = self._past[0], self._past[-1]
        seconds, done = last.at_s - first.at_s, last.n_bytes - first.n_bytes
        return left_bytes * seconds / done if seconds >= _ETA_AFTER_S and done else None


class ProgressLine:
    """A line on `stream` that follows `tally`; it reads, nobody has to tell it.

    `size_bytes` is how much there is to read, if that is known. What is called is asked when
    the line is drawn.
    """

    def __init__(
        self,
        stream: Any,
        others: Collection[Beside],
        tally: RunCounters,
        size_bytes: int | None,
        *,
        written_bytes: Callable[[], int],
        in_flight: Callable[[], int],
        busy_since_s: Callable[[], float | None],
        held_by: Callable[[], Wait | None],
        lag: Callable[[], int | None],
        calls: Collection[StageMetrics],
    ) -> None:
        self._stream = stream
        self._others = others
        self._tally = tally
        self._size_bytes = size_bytes
        self._written_bytes = written_bytes
        self._in_flight = in_flight
        self._busy_since_s = busy_since_s
        self._held_by = held_by
        self._lag = lag
        self._calls = calls
        self._begun_s = time.monotonic()
        self._averages = Averages(self._position())
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to draw."""
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._draw)

    def close(self) -> None:
        """Take the line away."""
        if self._timer is not None:
            self._timer.cancel()
        self._show("")

    def _position(self) -> Position:
        tally = self._tally
        done = tally.ended - tally.unprocessed - tally.skipped
        return Position(time.monotonic(), done, self._written_bytes())

    def _draw(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._draw)
        now = self._position()
        self._averages.add(now)
        self._show(", ".join(self._parts(now)))

    def _show(self, text: str) -> None:
        if any(other.is_mid_line for other in self._others):
            return  # somebody has not finished theirs
        # the last column stays empty: to write there makes some terminals begin a new line
        with suppress(OSError, ValueError):  # the terminal is gone: records go on
            self._stream.write(ERASE + one_line(text)[: columns(self._stream) - 1])
            self._stream.flush()

    def _parts(self, now: Position) -> list[str]:
        """The most important first: what does not fit is cut off."""
        held_by, size = self._held_by(), self._size_bytes
        share = f" ({min(now.n_bytes / size, 1):.0%})" if size else ""
        rate = self._averages.records_per_second
        parts = [
            f"{counted(now.records, 'record')}{share} in {duration(now.at_s - self._begun_s)}",
            f"{rate:,.{0 if rate >= 10 or not rate else 1}f}/s",
        ]
        if held_by is not None:
            parts.append(words(held_by))
        if size is not None and (held_by is None or held_by.reason not in _STANDSTILL):
            left_s = self._averages.left_s(max(0, size - now.n_bytes))
            parts += [] if left_s is None else [f"{duration(left_s)} to go"]
        if self._tally.errors:
            parts.append(f"{self._tally.errors:,} failed")
        parts.append(f"{self._in_flight():,} in flight")
        if (lag := self._lag()) is not None:
            parts.append(f"{lag:,} behind")
        if (since_s := self._busy_since_s()) is not None and now.at_s - since_s >= _OLD_S:
            parts.append(f"oldest {now.at_s - since_s:.0f} s")
        counts = {name: sum(getattr(each, name) for each in self._calls) for name in _CALLS}
        return parts + [f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n]


def duration(seconds: float) -> str:
    """As 0:01:05."""
    return str(timedelta(seconds=round(seconds)))


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
