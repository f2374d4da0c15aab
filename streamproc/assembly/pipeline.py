"""Stages and the settings to run them with: what Python code and the command start."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from streamproc.assembly.durability import Durability
from streamproc.assembly.ends import Ends
from streamproc.assembly.problems import problems_of
from streamproc.assembly.stages import StageBuilder
from streamproc.codec import OnError, decode
from streamproc.config.load import read_file, resolve
from streamproc.config.settings import Settings
from streamproc.config.shares import share_of, shares, worker_count
from streamproc.config.specs import stage_of
from streamproc.engines.local import LocalEngine
from streamproc.engines.places import Places
from streamproc.engines.program import Program
from streamproc.errors import ConfigError, StreamprocError
from streamproc.interfaces import Sink, Source
from streamproc.pipeline.run import Run
from streamproc.pipeline.selection import Selection
from streamproc.pipeline.shutdown import Shutdown
from streamproc.pipeline.window import Window
from streamproc.secrets import hidden
from streamproc.sinks.file import FileSink
from streamproc.sources.file import LineSource
from streamproc.telemetry.summary import Summary

if TYPE_CHECKING:
    from streamproc.engines.processes import ProcessEngine

WINDOW_BYTES = 64 << 20
WORKER_RECORDS = 8192  # so that no worker waits for the slowest one

StageLike = str | Callable[..., Any] | tuple[str, str | Callable[..., Any]]
Records = Iterable[Any] | AsyncIterable[Any]


def window_records(concurrency: int) -> int:
    """Lines admitted to stages and not yet written, at most."""
    return max(16 * concurrency, 1024)


class Pipeline:
    """Stages and the settings to run them with.

    A stage is a SPEC as on the command line (`"leads"`, `"pkg.module:function"`), a
    function, or a pair of the name under which its result goes and one of these.
    Keyword arguments are the keys of the pipeline file: `concurrency`, `ordered`,
    `timeout` (s), `on_error`, `dead_letter`, `max_errors`, ... Raises `ConfigError`.

    >>> async for record in Pipeline([("score", score)]).stream([{"n": 1}]):
    ...     print(record)
    """

    def __init__(self, stages: Sequence[StageLike] = ("leads",), **settings: Any) -> None:
        tables, targets = [], []
        for each in stages:
            name, what = each if isinstance(each, tuple) else (None, each)
            table = stage_of(what) if isinstance(what, str) else {"python": _spec_of(what)}
            tables.append(table | ({"name": name} if name else {}))
            targets.append(None if isinstance(what, str) else what)
        self._assemble(resolve({"stage": tables, **settings}, try_stage=problems_of), targets)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """The pipeline that a pipeline file describes. Raises `ConfigError`."""
        return cls.from_settings(resolve(read_file(os.fspath(path)), try_stage=problems_of))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The pipeline of settings that are resolved already. Raises `ConfigError`."""
        self = cls.__new__(cls)
        self._assemble(settings, [None] * len(settings.stage))
        return self

    def _assemble(self, settings: Settings, targets: Sequence[Any]) -> None:
        self.settings = settings
        builder = StageBuilder(settings)
        stages, problems = [], []
        for i, (stage, target) in enumerate(zip(settings.stage, targets, strict=True)):
            try:
                stages.append(builder.build(stage, target))
            except ConfigError as error:
                problems += [f"stage[{i}]: {problem}" for problem in error.problems]
        if problems:
            raise ConfigError(*problems)
        self._stages = [stage for stage in stages if stage is not None]
        self.calls = builder.calls
        self.notes = builder.notes + shares(settings, worker_count(settings))
        self.targets = builder.targets

    def __repr__(self) -> str:
        names = ", ".join(stage.name or "?" for stage in self.settings.stage)
        return f"<Pipeline {names}; concurrency={self.settings.concurrency}>"

    async def run(
        self,
        source: Source | str | os.PathLike[str],
        sink: Sink | str | os.PathLike[str],
        *,
        shutdown: Shutdown | None = None,
        on_start: Callable[[Run, LocalEngine | ProcessEngine], None] = lambda run, engine: None,
    ) -> Summary:
        """Process `source` into `sink` (objects, or names of files) to the end.

        Returns the account of every record, whatever happened to them. Raises what ends
        a stream early, after everything that was read is accounted for: `InputError`,
        `OutputError`, `ReaderGoneError`, `TooManyAbandonedError`, ... (their
        `summary` is the account).
        """
        if isinstance(source, str | os.PathLike):
            is_kept = self.settings.checkpoint is not None
            source = LineSource([os.fspath(source)], resumable=is_kept)
        if isinstance(sink, str | os.PathLike):
            sink = FileSink(os.fspath(sink))
        ends = Ends.around(self.settings, source, sink)
        return await self.run_between(ends, shutdown=shutdown, on_start=on_start)

    async def run_between(
        self,
        ends: Ends,
        *,
        shutdown: Shutdown | None = None,
        on_start: Callable[[Run, LocalEngine | ProcessEngine], None] = lambda run, engine: None,
    ) -> Summary:
        """The same, with source, sink and dead letters as `ends`."""
        settings = self.settings
        source, sink, dead_letters = ends.source, ends.sink, ends.dead_letters
        begun_s = time.monotonic()
        count = worker_count(settings)
        ahead = 0 if count == 1 else count * WORKER_RECORDS
        records = max(window_records(settings.concurrency), ends.least_records, ahead)
        engine = self.local_engine() if count == 1 else self._process_engine(count)
        committer = ends.committer()
        durability = Durability(settings, source, sink)
        run: Run | None = None
        try:
            async with AsyncExitStack() as stack:
                # what may fail comes first; an output is truncated only when nothing else can
                stack.callback(durability.close)
                durability.open()
                await stack.enter_async_context(source)
                await stack.enter_async_context(engine)
                progress = await durability.resume()
                keeper = committer or durability.keeper()
                if dead_letters is not None:
                    await stack.enter_async_context(dead_letters)
                await stack.enter_async_context(sink)
                if keeper is not None:
                    await keeper.begin(sink, dead_letters)
                run = Run(
                    source=source,
                    engine=engine,
                    sink=sink,
                    dead_letters=dead_letters,
                    forms=self._on_error(),
                    window=Window(records, WINDOW_BYTES),
                    shutdown=shutdown or Shutdown(settings.drain_timeout),
                    ordered=settings.ordered,
                    max_errors=1 if settings.on_error == "stop" else settings.max_errors,
                    keeper=keeper,
                    progress=progress,
                    selection=_selection(settings),
                )
                ends.attach(run, keeper)
                on_start(run, engine)
                await run.run()
        except ConfigError as raised:
            if run is None:
                raise
            run.errors.append(raised)  # user code that could not be left: the account stands
        run.tally.bytes_out = sink.written_bytes
        seconds = time.monotonic() - begun_s
        summary = Summary.of(
            run.tally,
            seconds,
            run.exit_code,
            self.calls,
            workers=count,
            restarts=engine.restarts,
            lag=source.lag,
        )
        if run.errors:
            error = min(run.errors, key=lambda e: isinstance(e, StreamprocError))
            error.summary = summary  # type: ignore[attr-defined]
            raise error
        return summary

    def local_engine(self) -> LocalEngine:
        """The engine of this process."""
        records = window_records(self.settings.concurrency)
        places = Places(self.settings.concurrency)
        return LocalEngine(Program(self._stages, self._on_error()), places, records)

    def _process_engine(self, count: int) -> ProcessEngine:
        import pickle

        from streamproc.engines.crew import Crew
        from streamproc.engines.processes import ProcessEngine

        settings = self.settings
        share_of(settings, 0, count)  # raises what is wrong with it, before any process is started
        for stage in settings.stage:
            if stage.python and (stage.python.startswith("__main__:") or "<" in stage.python):
                raise ConfigError(
                    f"stage {stage.name}: with workers a function has to be importable: put it "
                    "into a module"
                )
        limits_s = [limit for stage in self._stages for limit in stage.limits_s]
        crew = Crew(
            count,
            lambda k: pickle.dumps((share_of(settings, k, count), hidden(), sys.path)),
            is_inline=Program(self._stages, self._on_error()).is_inline,
            hang_s=max(limits_s, default=settings.timeout),
            stage=self._stages[0].name if len(self._stages) == 1 else "worker",
            max_restarts=settings.max_restarts,
        )
        return ProcessEngine(crew, self._on_error(), self.calls)

    def _on_error(self) -> OnError:
        settings = self.settings
        mode = "annotate" if settings.on_error == "stop" else settings.on_error
        return OnError(mode, dead_letters=settings.dead_letter is not None)

    async def stream(self, records: Records) -> AsyncIterator[dict[str, Any]]:
        """The enriched records of `records` (dicts, or lines as str or bytes).

        Failed records come with an `_error`. Breaking out of the loop cancels the rest.
        """
        from streamproc.testing import MemorySource, QueueSink

        sink = QueueSink()
        task = asyncio.create_task(self.run(MemorySource(records), sink))
        task.add_done_callback(lambda _: sink.close())
        try:
            async for line in sink:
                yield decode(line)
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, StreamprocError):
                await task


def _selection(settings: Settings) -> Selection | None:
    """None where every record is wanted."""
    if settings.limit is None and not settings.skip and settings.sample == 1.0:
        return None
    return Selection(
        skip=settings.skip,
        sample=settings.sample,
        seed=settings.sample_seed,
        limit=settings.limit,
    )


def _spec_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"{function.__module__}:{name}"
