"""What a run has done, while it goes on and at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streamproc.assembly.endpoints import Endpoints
from streamproc.attendance import Attendance
from streamproc.counters import StageMetrics
from streamproc.interfaces import Engine
from streamproc.pipeline.run import Run
from streamproc.telemetry.summary import Summary


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
