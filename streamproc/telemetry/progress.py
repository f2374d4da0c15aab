"""How far the run is, on a terminal or for a script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Literal

from streamproc.counters import RunCounters, StageMetrics
from streamproc.shown import one_line
from streamproc.telemetry.averages import Averages, Position
from streamproc.telemetry.progress_state import (
    ProgressState,
    StageState,
    json_line,
    line_of,
    line_of_stage,
)
from streamproc.telemetry.terminal import Beside, drawn, size_of
from streamproc.waits import Wait

Form = Literal["line", "full", "json"]

_EVERY_S = {"line": 0.2, "full": 0.2, "json": 1.0}


class ProgressLine:
    """Lines on `stream` that follow `tally`; it reads, nobody has to tell it.

    One that is drawn again and again ("line"), with one for each stage under it ("full"), or
    lines of JSON ("json"). `size_bytes` is how much there is to read, if that is known. What is
    called is asked when a line is made.
    """

    def __init__(
        self,
        stream: Any,  # `sys.__stderr__`, which may be None for typeshed
        others: Collection[Beside],
        tally: RunCounters,
        size_bytes: int | None,
        form: Form,
        *,
        written_bytes: Callable[[], int],
        in_flight: Callable[[], int],
        busy_since_s: Callable[[], float | None],
        held_by: Callable[[], Wait | None],
        lag: Callable[[], int | None],
        calls: Mapping[str, StageMetrics],
    ) -> None:
        self._stream = stream
        self._others = others
        self._tally = tally
        self._size_bytes = size_bytes
        self._form = form
        self._written_bytes = written_bytes
        self._in_flight = in_flight
        self._busy_since_s = busy_since_s
        self._held_by = held_by
        self._lag = lag
        self._calls = calls
        self._begun_s = time.monotonic()
        self._averages = Averages(self._position())
        self._of_stages = {name: Averages(_calls_now(each)) for name, each in calls.items()}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to draw."""
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S[self._form], self._draw)

    def close(self) -> None:
        """Take the lines away; of those for a script say the last one."""
        if self._timer is not None:
            self._timer.cancel()
        if self._form == "json":
            self._write(json_line(self._state()) + "\n")
        else:
            self._show([""])

    def _draw(self) -> None:
        self.start()
        state = self._state()
        match self._form:
            case "line":
                self._show([line_of(state)])
            case "full":
                self._show([line_of(state), *map(line_of_stage, state.stages)])
            case "json":
                self._write(json_line(state) + "\n")

    def _show(self, texts: list[str]) -> None:
        if any(other.is_mid_line for other in self._others):
            return  # somebody has not finished theirs
        columns, lines = size_of(self._stream)
        # the last column stays empty: to write there makes some terminals begin a new line
        shown = [one_line(text)[: columns - 1] for text in texts[: max(1, lines - 1)]]
        self._write(drawn(shown))

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone: records go on
            self._stream.write(text)
            self._stream.flush()

    def _position(self) -> Position:
        return Position(time.monotonic(), self._tally.done, self._written_bytes())

    def _state(self) -> ProgressState:
        now, size, since_s = self._position(), self._size_bytes, self._busy_since_s()
        self._averages.add(now)
        return ProgressState(
            records=now.records,
            share=None if not size else min(now.n_bytes / size, 1),
            seconds=now.at_s - self._begun_s,
            records_per_second=self._averages.per_second,
            left_s=None if size is None else self._averages.left_s(max(0, size - now.n_bytes)),
            failed=self._tally.errors,
            in_flight=self._in_flight(),
            behind=self._lag(),
            oldest_s=None if since_s is None else now.at_s - since_s,
            held_by=self._held_by(),
            stages=[self._state_of(name, each) for name, each in self._calls.items()],
        )

    def _state_of(self, name: str, calls: StageMetrics) -> StageState:
        averages = self._of_stages[name]
        averages.add(_calls_now(calls))
        return StageState(
            name=name,
            calls=calls.calls,
            failed_calls=calls.failed_calls,
            calls_per_second=averages.per_second,
            mean_s=calls.total_s / calls.calls if calls.calls else None,
            p95_s=calls.percentile_s(0.95),
            retries=calls.retries,
            cache_hits=calls.cache_hits,
            circuit_opened=calls.circuit_opened,
        )


def _calls_now(calls: StageMetrics) -> Position:
    return Position(time.monotonic(), calls.settled().calls, 0)
