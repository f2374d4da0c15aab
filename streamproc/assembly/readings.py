"""What is seen of a run from outside: a reading of it now, and how it went so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from streamproc.assembly.endpoints import Endpoints
from streamproc.call_metrics import CallMetrics
from streamproc.config.recipes import working_stages
from streamproc.config.settings import Settings
from streamproc.counters import StageMetrics
from streamproc.interfaces import Engine
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Level, Shutdown
from streamproc.telemetry.averages import Averages, Position
from streamproc.telemetry.bottleneck import Bottleneck
from streamproc.telemetry.course import Course
from streamproc.telemetry.figures import Box
from streamproc.telemetry.history import Latencies, Point
from streamproc.telemetry.narrowest import Judge
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.summary import Summary
from streamproc.waits import summed

_EVERY_S = 1.0


class Readings:
    """Begins when all is open; before that it reads nothing but zeros. It writes the `course`.

    `metrics` is what is counted for it alone, `calls` are the counts of each stage.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: CallMetrics,
        calls: Mapping[str, StageMetrics],
        shutdown: Shutdown,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._shutdown = shutdown
        self._run: Run | None = None
        self._account: Callable[[], Summary] = Summary.nothing
        self._latencies = Latencies(calls)
        self._timer: asyncio.TimerHandle | None = None
        self.course = Course()

    def begin(
        self,
        run: Run,
        engine: Engine,
        ends: Endpoints,
        account: Callable[[], Summary],
    ) -> None:
        """All is open. `account` is the summary so far."""
        self._run, self._engine, self._ends, self._account = run, engine, ends, account
        settings, self._size_bytes = self._settings, ends.source.size_bytes
        names = [stage.name or "" for stage in working_stages(settings)]
        bottleneck = Bottleneck(engine.waits, lambda: ends.sink.blocked_s)
        self._judge = Judge(bottleneck, names, settings.concurrency, run.window.limit_records)
        self._averages = Averages(self._position(run))
        self._take()

    def close(self) -> None:
        """The run is over, and this was its end."""
        if self._timer is not None:
            self._timer.cancel()
            self._look()

    def read(self) -> Reading:
        """What is so now."""
        summary, run = self._account(), self._run
        is_draining = self._shutdown.level is not Level.NONE
        if run is None:
            return Reading(summary, is_draining=is_draining)
        engine, size = self._engine, self._size_bytes
        since_s, used = engine.busy_since_s, run.window.used_records
        calling, finished = engine.in_flight, run.reorder.finished_records
        written = run.window.written_bytes
        return Reading(
            summary,
            self._metrics.copy(),
            dict(run.failures.ends),
            summed(engine.allowances()),
            in_flight=calling or used,
            reorder_buffer=finished,
            oldest_s=0.0 if since_s is None else time.monotonic() - since_s,
            is_draining=is_draining,
            calling=calling,
            waiting=max(0, used - calling - finished),
            written_bytes=written,
            size_bytes=size,
            left_s=None if size is None else self._averages.left_s(max(0, size - written)),
            waits=engine.waits(),
            examples=list(run.failures.latest),
            workers=engine.worker_states(),
            lags=self._ends.lags(),
        )

    def _take(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._take)
        self._look()

    def _look(self) -> None:
        run = self._run
        assert run is not None
        self._averages.add(self._position(run))
        reading = self.read()
        before = self.course.history.last
        seconds = reading.summary.seconds - (0.0 if before is None else before.at_s)
        self.course.judged(self._judge.look(reading), seconds)
        tally = run.tally
        self.course.history.add(
            Point(
                reading.summary.seconds, tally.received - tally.skipped, tally.done,
                tally.errors, reading.waiting, reading.calling, reading.reorder_buffer,
                self._latencies.take(),
            )
        )  # fmt: skip

    def _position(self, run: Run) -> Position:
        return Position(time.monotonic(), run.tally.done, run.window.written_bytes)


def boxes_of(settings: Settings) -> list[Box]:
    """The stages that do something."""
    return [
        Box(stage.name or "", tuple(each.name or "" for each in stage.all or ()))
        for stage in working_stages(settings)
    ]
