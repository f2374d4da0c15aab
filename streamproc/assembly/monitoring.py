"""What watches a run, if anything does: a monitor in a thread of its own, a report."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from streamproc.assembly.endpoints import Endpoints
from streamproc.assembly.watching import pushes_metrics
from streamproc.call_metrics import CallMetrics
from streamproc.config.settings import Settings
from streamproc.counters import StageMetrics
from streamproc.errors import CreateError, OutputError
from streamproc.interfaces import Engine
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Shutdown
from streamproc.telemetry.monitor_settings import MonitorSettings
from streamproc.telemetry.observers import Observers
from streamproc.telemetry.summary import Summary
from streamproc.units import Address
from streamproc.version import __version__

if TYPE_CHECKING:
    from streamproc.assembly.readings import Readings
    from streamproc.telemetry.otlp_metrics import MetricPush
    from streamproc.telemetry.report import Report
    from streamproc.telemetry.vitals import Vitals

log = logging.getLogger("streamproc")


class Monitoring:
    """Entered before all else that a run opens, left after it.

    `metrics` is what is counted for it alone: None if nothing watches, and then it is nothing.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: CallMetrics | None,
        calls: Mapping[str, StageMetrics],
        shutdown: Shutdown,
        observers: Observers,
        run_id: str,
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._metrics = metrics
        self._calls = calls
        self._shutdown = shutdown
        self._observers = observers
        self._readings: Readings | None = None
        self._vitals: Vitals | None = None
        self._report: Report | None = None
        self._push: MetricPush | None = None
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        """Raises `CreateError` for an address that is not to be had, or a report."""
        if self._metrics is None:
            return self
        from streamproc.assembly.readings import Readings

        self._readings = Readings(self._settings, self._metrics, self._calls, self._shutdown)
        self._observers.join("(monitor)", self._readings.course)
        if self._settings.report is not None:
            from streamproc.telemetry.report import Report

            self._report = Report(self._settings.report)
        with ExitStack() as stack:
            if isinstance(self._settings.monitor, MonitorSettings):
                self._open(self._settings.monitor, self._readings, stack)
            stack.callback(self._readings.close)
            if pushes_metrics(self._settings):
                from streamproc.assembly.tracing import metric_push

                self._push = metric_push(self._readings.read, self._about)
                self._push.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stack.close()
        if self._push is not None:
            await self._push.close()

    def _open(self, settings: MonitorSettings, readings: Readings, stack: ExitStack) -> None:
        from streamproc.assembly.background import Background
        from streamproc.assembly.readings import boxes_of
        from streamproc.telemetry.figures import Figures
        from streamproc.telemetry.loopback import is_loopback
        from streamproc.telemetry.vitals import Vitals

        listener = stack.enter_context(listen(settings.place))
        host, port = settings.place.host, listener.getsockname()[1]
        if not settings.place.port:
            log.warning("the monitor is at http://%s", Address.of(host, port))
        vitals = self._vitals = Vitals(readings.read)
        shown = settings.token is not None or is_loopback(host)
        figures = Figures(readings.course, boxes_of(self._settings), shows_records=shown)

        async def serve() -> None:
            # to load these takes longer than a run takes to begin, which does not wait for it: who
            # asks before it is done is answered then, for the socket listens already
            try:
                from streamproc.telemetry.metrics import Exposition, infos_of
                from streamproc.telemetry.monitor import Monitor

                exposition = Exposition(infos_of(__version__, self._about))
                await Monitor(listener, vitals, exposition, figures, settings.token).serve()
            except Exception:
                log.exception("the monitor has ended, and the run goes on")

        stack.enter_context(Background(serve))
        vitals.start()
        stack.callback(vitals.close)

    @property
    def _about(self) -> dict[str, str]:
        """Labels of the run."""
        return {"run_id": self._run_id, "pipeline": self._settings.stage_names}

    def opened(self, part: str) -> None:
        """One of `vitals.PARTS`."""
        if self._vitals is not None:
            self._vitals.open.append(part)

    def begin(
        self, run: Run, engine: Engine, ends: Endpoints, account: Callable[[], Summary]
    ) -> None:
        """All is open. `account` is the summary so far."""
        if self._readings is not None:
            self._readings.begin(run, engine, ends, account)

    def report(self, run: Run, mistakes: Sequence[str]) -> None:
        """Once `run` is over; `mistakes` are what was not meant."""
        if self._report is None or self._readings is None:
            return
        from streamproc.assembly.reporting import report_of

        problems = [*map(str, run.errors), *mistakes]
        parts = self._readings, self._settings, self._calls, run.failures, problems
        try:
            self._report.write(report_of(*parts))
        except OutputError as error:
            run.errors.append(error)


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
        # what it adds is the address again
        why = str(error.strerror or error).partition(" (while attempting")[0]
        is_of_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "; another port may be free, and 0 is one that is" if is_of_port else ""
        raise CreateError(f"monitor: {address} is not to be had: {why}{hint}") from error
