"""What a run has done, while it goes on and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streamproc.assembly.endpoints import Endpoints
from streamproc.attendance import Attendance
from streamproc.counters import StageMetrics
from streamproc.interfaces import Engine
from streamproc.pipeline.run import Run
from streamproc.telemetry.summary import Summary

if TYPE_CHECKING:
    from streamproc.engines.worker_pool import Counts


class Counting:
    """Lets what a pipeline counts begin with each of its runs: entered for one.

    Of runs at the same time all is counted together, as they have the same stages.
    """

    def __init__(self, counts: Callable[[], Counts]) -> None:
        """`counts` are those of all stages."""
        self._counts = counts
        self._runs = 0

    def __enter__(self) -> None:
        if not self._runs:
            for each in self._counts().values():
                each.reset()
        self._runs += 1

    def __exit__(self, *error: object) -> None:
        self._runs -= 1


def account_of(
    run: Run,
    engine: Engine,
    ends: Endpoints,
    calls: Mapping[str, StageMetrics],
    records: Mapping[str, Attendance],
    *,
    begun_s: float,
) -> Summary:
    """The summary so far; `begun_s` by the monotonic clock."""
    return Summary.of(
        run.tally,
        time.monotonic() - begun_s,
        run.exit_code,
        calls,
        records,
        bytes_out=ends.sink.written_bytes,
        workers=engine.workers,
        restarts=engine.restarts,
        lag=ends.source.lag,
    )
