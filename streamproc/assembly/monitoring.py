"""A run's monitor, if it has one: what it reads of the run, and the thread that it answers in."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from streamproc.call_metrics import CallMetrics
from streamproc.config.settings import Settings
from streamproc.counters import RunCounters
from streamproc.errors import CreateError
from streamproc.interfaces import Engine
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Level, Shutdown
from streamproc.telemetry.monitor_settings import MonitorSettings
from streamproc.telemetry.summary import Summary
from streamproc.units import Address
from streamproc.version import __version__
from streamproc.waits import summed

if TYPE_CHECKING:
    from streamproc.telemetry.reading import Reading
    from streamproc.telemetry.vitals import Vitals

log = logging.getLogger("streamproc")


class Monitoring:
    """Entered before all else that a run opens, left after it. Without a monitor it is nothing.

    `calls` is what is counted for it alone.
    """

    def __init__(self, settings: Settings, calls: CallMetrics | None, shutdown: Shutdown) -> None:
        self._settings = settings
        self._calls = calls
        self._shutdown = shutdown
        self._run: Run | None = None
        self._engine: Engine | None = None
        self._account: Callable[[], Summary] = lambda: Summary.of(RunCounters(), 0.0, 0)
        self._vitals: Vitals | None = None
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        """Raises `CreateError` for an address that is not to be had."""
        if isinstance(self._settings.monitor, MonitorSettings):
            with ExitStack() as stack:
                self._open(self._settings.monitor, stack)
                self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stack.close()

    def _open(self, settings: MonitorSettings, stack: ExitStack) -> None:
        from streamproc.assembly.background import Background
        from streamproc.telemetry.metrics import Exposition
        from streamproc.telemetry.monitor import Monitor
        from streamproc.telemetry.vitals import Vitals

        listener = stack.enter_context(listen(settings.place))
        if not settings.place.port:
            host, port = settings.place.host, listener.getsockname()[1]
            log.warning("the monitor is at http://%s", Address.of(host, port))
        stages = ", ".join(stage.name or "?" for stage in self._settings.stage)
        exposition = Exposition(
            __version__, {"run_id": self._settings.run_id or "", "pipeline": stages}
        )
        self._vitals = Vitals(self._read)
        monitor = Monitor(listener, self._vitals, exposition, settings.token)
        stack.enter_context(Background(monitor.serve))
        self._vitals.start()
        stack.callback(self._vitals.close)

    def opened(self, part: str) -> None:
        """One of `vitals.PARTS`."""
        if self._vitals is not None:
            self._vitals.open.append(part)

    def begin(self, run: Run, engine: Engine, account: Callable[[], Summary]) -> None:
        """All is open. `account` is the summary so far."""
        self._run, self._engine, self._account = run, engine, account

    def _read(self) -> Reading:
        from streamproc.telemetry.reading import Reading

        summary, run, engine = self._account(), self._run, self._engine
        is_draining = self._shutdown.level is not Level.NONE
        if run is None or engine is None or self._calls is None:
            return Reading(summary, is_draining=is_draining)
        since_s = engine.busy_since_s
        return Reading(
            summary,
            self._calls.copy(),
            dict(run.failures.ends),
            summed(engine.allowances()),
            in_flight=engine.in_flight or run.window.used_records,
            reorder_buffer=run.reorder.finished_records,
            oldest_s=0.0 if since_s is None else time.monotonic() - since_s,
            is_draining=is_draining,
        )


def listen(address: Address) -> socket.socket:
    """A socket that listens there. Raises `CreateError`."""
    is_v6 = ":" in address.host
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    both = address.host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (address.host, address.port), family=family, dualstack_ipv6=both
        )
    except OSError as error:
        raise CreateError(
            f"monitor: {address} is not to be had: {error.strerror or error}; another port may "
            "be free, and 0 is one that is"
        ) from error
