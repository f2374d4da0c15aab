"""From settings to an exit code: descriptors, loop, signals, the last words."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import structs

from streamproc.assembly import Endpoints, Pipeline
from streamproc.cli.address_space import limit_memory
from streamproc.cli.files import within_limit
from streamproc.cli.leave import note, remark, report, say, tell
from streamproc.cli.settled import keep_freed_memory, settle
from streamproc.cli.signals import Signals
from streamproc.config.settings import Settings
from streamproc.enrichers.imports import look_in_working_directory
from streamproc.errors import OutputError
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Shutdown
from streamproc.shown import counted
from streamproc.telemetry.log import configure
from streamproc.telemetry.summary import Summary
from streamproc.telemetry.terminal import ERASE, Beside, same_terminal, stderr_is_terminal
from streamproc.telemetry.verdict import doubts, idleness, untouched

if TYPE_CHECKING:
    from streamproc.interfaces import Engine

log = logging.getLogger("streamproc")

_LASTS_S = 0.2  # a run that does has more than a small input


def launch(
    settings: Settings, inputs: list[str], output: str | None, notes: Sequence[str] = ()
) -> int:
    """Run the pipeline of `settings` and return the exit code; an error is told.

    `notes` are told once all is open.
    """
    settings = structs.replace(settings, progress=_wants_progress(settings, output))
    if settings.progress:
        write_beside_progress()
    configure(settings.log_level, settings.log_format, sys.stderr)
    try:
        return _open_and_run(settings, inputs, output, notes)
    except Exception as error:
        code = report(error)
    if settings.summary is not None:  # a person sees why there was no run
        _say_summary(settings, Summary.nothing(code))
    return code


def _open_and_run(
    settings: Settings, inputs: list[str], output: str | None, notes: Sequence[str]
) -> int:
    data_in, data_out = _take_descriptors("-" in inputs, output is None and settings.sink is None)
    look_in_working_directory()
    settings = within_limit(settings)
    pipeline = Pipeline.from_settings(settings)
    limit_memory(pipeline)  # less what the stages' modules take
    if "NOTIFY_SOCKET" in os.environ:
        from streamproc.telemetry.systemd import SystemdUnit

        if (unit := SystemdUnit.of(os.environ)) is not None:
            pipeline.listeners.observers.add("systemd", unit)
    ends = Endpoints.of(settings, inputs, output, stdin_fd=data_in, stdout_fd=data_out)
    shutdown = Shutdown(settings.drain_timeout)
    loop = new_loop(settings.loop)
    asyncio.set_event_loop(loop)
    settle()
    loop.call_later(_LASTS_S, keep_freed_memory)
    return loop.run_until_complete(_Session(settings, pipeline, shutdown, notes).run(ends))


class _Session:
    """One run of the command, and what a person at the terminal sees of it."""

    def __init__(
        self, settings: Settings, pipeline: Pipeline, shutdown: Shutdown, notes: Sequence[str]
    ) -> None:
        self._settings = settings
        self._notes = notes
        self._pipeline = pipeline
        self._shutdown = shutdown
        self._run: Run | None = None
        self._progress: Any = None
        self._one_core: Any = None

    async def run(self, ends: Endpoints) -> int:
        """Returns the exit code. Raises what kept the run from beginning."""
        task = asyncio.current_task()
        assert task is not None
        # until the run listens itself, a signal ends whatever is being opened
        self._shutdown.listen(lambda: _cancel(task), lambda: _cancel(task))
        drain_timeout_s = self._settings.drain_timeout
        Signals(self._shutdown, drain_timeout_s, self._in_window, self._erase).install()
        try:
            summary = await self._pipeline.run_between(
                ends,
                shutdown=self._shutdown,
                on_start=lambda run, engine: self._begin(run, engine, ends),
            )
        except asyncio.CancelledError:
            code = 128 + (self._shutdown.signal or signal.SIGINT)
            summary = Summary.nothing(code)
        except Exception as error:
            self._end()
            if (account := getattr(error, "summary", None)) is None:
                raise
            report(error)
            summary = account
        self._end()
        self._last_words(summary)
        return summary.exit_code

    def _erase(self) -> str:
        return "" if self._progress is None else ERASE

    def _in_window(self) -> int:
        return self._run.window.used_records if self._run is not None else 0

    def _begin(self, run: Run, engine: Engine, ends: Endpoints) -> None:
        self._run = run
        for each in self._notes:
            note(each)
        signal.signal(signal.SIGCONT, lambda number, frame: engine.thaw())
        if self._settings.progress:
            from streamproc.telemetry.bottleneck import Bottleneck
            from streamproc.telemetry.progress import ProgressLine

            bottleneck = Bottleneck(engine.waits, lambda: ends.sink.blocked_s)
            self._progress = ProgressLine(
                sys.__stderr__,
                [each for each in (sys.stderr, sys.stdout) if isinstance(each, Beside)],
                run.tally,
                ends.source.size_bytes,
                self._settings.progress_format,
                written_bytes=lambda: run.window.written_bytes,
                in_flight=lambda: engine.in_flight or run.window.used_records,
                busy_since_s=lambda: engine.busy_since_s,
                held_by=bottleneck.reading,
                lag=lambda: ends.source.lag,
                calls=self._pipeline.calls,
            )
            self._progress.start()
            from streamproc.assembly.growth import cores_unused

            if (cores := cores_unused(self._settings)) > 1:
                from streamproc.telemetry.one_core import OneCore

                hint = f"one core is busy: -w auto would use {cores} cores"
                self._one_core = OneCore(lambda: note(hint))
                self._one_core.start()

    def _end(self) -> None:
        if self._one_core is not None:
            self._one_core.close()
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def _last_words(self, summary: Summary) -> None:
        run = self._run
        if run is not None and run.lost_from is not None and not run.silent:
            file, line = run.lost_from[:2]
            say(
                f"streamproc: {counted(run.lost, 'record')} unprocessed, from line {line} of {file}"
            )
        for each in self._pipeline.mistakes:
            tell(each)
        is_quiet = self._settings.summary == "none" or self._settings.log_level == "error"
        if run is not None and not is_quiet:
            for each in () if self._settings.allow_empty else doubts(self._pipeline.records):
                remark(each)
            for each in idleness(self._pipeline.records, self._pipeline.calls):
                remark(each)
            for each in untouched(summary, self._settings.incoming_errors):
                remark(each)
            if digest := run.failures.digest():
                remark(*digest)
        _say_summary(self._settings, summary)


def _say_summary(settings: Settings, summary: Summary) -> None:
    form = settings.summary or ("text" if stderr_is_terminal() else "none")
    if form == "json":
        say(summary.json(), most=sys.maxsize)
    elif form == "text":
        say(summary.text())


def _wants_progress(settings: Settings, output: str | None) -> bool:
    """As the person said; else where there is a terminal that can erase a line. A script asks.

    Never beside records: they would be written into the line.
    """
    if output is None and settings.sink is None and same_terminal(1, 2):
        return False
    if settings.progress is not None:
        return settings.progress
    if settings.progress_format == "json":
        return True
    return stderr_is_terminal() and os.environ.get("TERM") != "dumb"


def write_beside_progress() -> None:
    """Whoever prints or logs in this process does it beside a progress line."""
    if stderr_is_terminal():
        sys.stderr, sys.stdout = Beside(sys.stderr), Beside(sys.stdout)


def _take_descriptors(reads_stdin: bool, writes_stdout: bool) -> tuple[int, int]:
    """Keep stdin and stdout to ourselves: nothing that user code prints gets into the data.

    Afterwards 0 is /dev/null and 1 is stderr, for subprocesses too.
    """
    data_in = _duplicate(0)
    data_out = _duplicate(1)
    if data_in is None and reads_stdin:
        from streamproc.errors import InputError

        raise InputError("stdin is closed: pipe records in, or name a file")
    if data_out is None and writes_stdout:
        raise OutputError("stdout", "closed: redirect it, or use -o FILE")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(null, 1)
    if null > 2:
        os.close(null)
    return -1 if data_in is None else data_in, -1 if data_out is None else data_out


def _duplicate(fd: int) -> int | None:
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return None


def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()


def new_loop(wanted: str | None) -> asyncio.AbstractEventLoop:
    """A loop of uvloop's, where it is installed, unless `wanted` is "asyncio"."""
    if wanted != "asyncio":
        try:
            import uvloop

            return uvloop.new_event_loop()
        except ImportError:
            if wanted == "uvloop":
                log.warning("uvloop is not installed, using asyncio")
    return asyncio.new_event_loop()
