"""Which part of a pipeline holds the run back: its input, one of its stages, or its output."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from streamproc.telemetry.bottleneck import Bottleneck
from streamproc.telemetry.progress_state import words
from streamproc.telemetry.reading import Reading
from streamproc.waits import Wait

_LOOKS = 10  # a second apart: what was so in half of them is so
_BUSY = 0.5  # of the time, for plain code in the loop
_FULL = 0.75  # of the window: reading waits from there on


class Narrowest(Struct, frozen=True):
    """`part` is input, stage or output, or nothing while that is not known; `wait` is why."""

    part: str = ""
    stage: str = ""
    wait: Wait | None = None

    @property
    def why(self) -> str:
        """For people."""
        if self.wait is not None:
            return words(self.wait)
        return {"input": "no more comes in", "stage": "its calls take most of the time"}.get(
            self.part, ""
        )


class _Look(NamedTuple):
    at_s: float
    is_fed: bool
    busy_s: dict[str, float]  # so far, by stage
    calls: dict[str, int]
    plain: frozenset[str]  # stages whose calls nobody waits for


class Judge:
    """Looks once a second. `most_in_flight` and `window_records` are the bounds of the run."""

    def __init__(
        self,
        bottleneck: Bottleneck,
        stages: Sequence[str],
        most_in_flight: int,
        window_records: int,
    ) -> None:
        self._bottleneck = bottleneck
        self._stages = stages
        self._most_in_flight = most_in_flight
        self._window_records = window_records
        self._looks: deque[_Look] = deque(maxlen=_LOOKS)

    def look(self, reading: Reading) -> Narrowest:
        """What `reading`, and those before it, tell."""
        self._looks.append(self._seen(reading))
        wait = self._bottleneck.reading()
        if wait is not None:
            is_output = wait.reason == "reader"
            return Narrowest("output" if is_output else "stage", wait.stage, wait)
        if len(self._looks) < 2 or not self._stages:
            return Narrowest()
        first, last = self._looks[0], self._looks[-1]
        seconds = last.at_s - first.at_s
        busy = {name: last.busy_s[name] - first.busy_s[name] for name in self._stages}
        plain_s = sum(busy[name] for name in last.plain)
        is_fed = sum(look.is_fed for look in self._looks) * 2 >= len(self._looks)
        if not is_fed and plain_s < _BUSY * seconds:
            return Narrowest("input")
        slowest = max(busy, key=lambda name: busy[name])
        if not busy[slowest]:  # nothing came back: it is where fewest calls have been
            slowest = min(last.calls, key=lambda name: last.calls[name])
        return Narrowest("stage", slowest)

    def _seen(self, reading: Reading) -> _Look:
        counts = {name: reading.summary.stages.get(name, {}) for name in self._stages}
        used = reading.waiting + reading.calling + reading.reorder_buffer
        return _Look(
            reading.summary.seconds,
            reading.waiting > 0
            or reading.calling >= self._most_in_flight
            or used >= _FULL * self._window_records,
            {name: each.get("total_s", 0.0) for name, each in counts.items()},
            {name: each.get("calls", 0) for name, each in counts.items()},
            frozenset(name for name, each in counts.items() if each.get("p50_s") is None),
        )
