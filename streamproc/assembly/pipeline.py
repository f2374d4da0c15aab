"""Stages and the settings to run them with: what Python code and the command start."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Self

from msgspec import structs

from streamproc.assembly.account import Counting, account_of
from streamproc.assembly.background import Background
from streamproc.assembly.doubles import Doubles
from streamproc.assembly.durability import Durability
from streamproc.assembly.endpoints import Endpoints, selection_of
from streamproc.assembly.engines import engine_of
from streamproc.assembly.given import (
    SinkLike,
    SourceLike,
    StageLike,
    in_words_of_python,
    sink_of,
    source_of,
    tables_of,
)
from streamproc.assembly.listeners import Listeners
from streamproc.assembly.monitoring import Monitoring
from streamproc.assembly.problems import problems_of
from streamproc.assembly.programs import on_error_of, program_of
from streamproc.assembly.run_lifecycle import RunLifecycle, run_id_of
from streamproc.assembly.stages import StageBuilder
from streamproc.assembly.windows import window_of, window_records
from streamproc.codec import decode
from streamproc.config.load import read_file, resolve
from streamproc.config.settings import Settings
from streamproc.config.shares import shares, worker_count
from streamproc.engines.local import LocalEngine
from streamproc.errors import ConfigError, StreamprocError, foremost
from streamproc.interfaces import Audience, Engine
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Shutdown
from streamproc.telemetry.summary import Summary
from streamproc.telemetry.verdict import mistakes
from streamproc.types import EventHandler, Function, Record
from streamproc.units import ByteSize

_IN_PYTHON = {"workers": 1}  # nobody's program starts processes without having been told to


class Pipeline:
    """Stages and the settings to run them with.

    A stage is a SPEC as on the command line (`"leads"`, `"pkg.module:function"`), a function or
    class, a table as in the pipeline file (`{"http": {"url": ...}}`), or a pair of the name under
    which its result goes and one of these or a URL. Keyword arguments are the keys of the pipeline
    file: `concurrency`, `ordered`, `timeout` (s), `on_error`, ... Raises `ConfigError`.

    >>> pipeline = Pipeline([("double", lambda record: record["n"] * 2)], concurrency=8)
    >>> list(pipeline.map([{"n": 1}, {"n": 2}]))
    [{'n': 1, 'double': 2}, {'n': 2, 'double': 4}]
    """

    def __init__(self, stages: Sequence[StageLike] = ("leads",), **settings: object) -> None:
        tables, targets = tables_of(stages)
        with in_words_of_python():
            resolved = resolve({"stage": tables, **_IN_PYTHON, **settings}, try_stage=problems_of)
            self._assemble(resolved, targets)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """The pipeline that a pipeline file describes. Raises `ConfigError`."""
        with in_words_of_python():
            table = _IN_PYTHON | read_file(os.fspath(path))
            return cls.from_settings(resolve(table, try_stage=problems_of))

    @classmethod
    def from_settings(
        cls, settings: Settings, audience: Audience | None = None, doubles: Doubles | None = None
    ) -> Self:
        """The pipeline of settings that are resolved already. Raises `ConfigError`.

        `audience` hears of it, if not its own observers; `doubles` are called instead of those
        whom the settings name.
        """
        self = cls.__new__(cls)
        self._assemble(settings, [None] * len(settings.stage), audience, doubles)
        return self

    def _assemble(
        self,
        settings: Settings,
        targets: Sequence[Function | None],
        audience: Audience | None = None,
        doubles: Doubles | None = None,
    ) -> None:
        self.settings = settings
        self.listeners = Listeners(settings, with_hooks=audience is None and doubles is None)
        self._observers = self.listeners.observers
        builder = StageBuilder(settings, audience or self._observers, doubles)
        stages, problems = [], []
        for i, (stage, target) in enumerate(zip(settings.stage, targets, strict=True)):
            try:
                stages.append(builder.build(stage, target))
            except ConfigError as error:
                problems += [f"stage[{i}]: {problem}" for problem in error.problems]
        if problems:
            raise ConfigError(*problems)
        self._stages = [stage for stage in stages if stage is not None]
        self.calls, self.records, self.targets = builder.calls, builder.records, builder.targets
        self.notes = builder.notes + shares(settings, worker_count(settings))
        self._metrics = {} if builder.metrics is None else {"": builder.metrics}
        self._told = builder.waits, builder.allowances, builder.audience
        self._counting = Counting(lambda: self.counts)

    def subscribe(self, handler: EventHandler, events: Sequence[str] = ("*",)) -> None:
        """Call `handler` with each of these events, a dict; `*` is all of them. See `Hook`.

        Raises `ConfigError` for an event that there is not.
        """
        self.listeners.subscribe(handler, events)

    @property
    def counts(self) -> dict[Hashable, Any]:  # see `engines.worker_pool.Counts`
        """All that is counted by stage."""
        kinds = ("calls", self.calls), ("records", self.records), ("metrics", self._metrics)
        return {(kind, name): each for kind, named in kinds for name, each in dict(named).items()}

    @property
    def mistakes(self) -> list[str]:
        """What the person who wrote it did not mean, as far as the records have shown it."""
        return [] if self.settings.allow_empty else mistakes(self.records)

    def limit_memory(self, n_bytes: ByteSize) -> None:
        """Records of its next run take so much at most."""
        self.settings = structs.replace(self.settings, max_memory=n_bytes)

    def __repr__(self) -> str:
        return f"<Pipeline {self.settings.stage_names}; concurrency={self.settings.concurrency}>"

    async def run(
        self,
        source: SourceLike,
        sink: SinkLike,
        *,
        shutdown: Shutdown | None = None,
        on_start: Callable[[Run, Engine], None] = lambda run, engine: None,
    ) -> Summary:
        """Process `source` into `sink` to the end.

        A source is the name of a file, an open file, or any iterable of records (dicts, or lines),
        async ones too; a sink the name of a file, an open file, or a list. Returns the account of
        every record, whatever happened to them. Raises what ends a stream early, after everything
        that was read is accounted for: `InputError`, `OutputError`, ... (`summary` is the account).
        """
        settings = self.settings
        ends = Endpoints(settings, source_of(source, settings.input_format), sink_of(sink))
        with in_words_of_python():
            return await self.run_between(ends, shutdown=shutdown, on_start=on_start)

    async def run_between(
        self,
        ends: Endpoints,
        *,
        shutdown: Shutdown | None = None,
        on_start: Callable[[Run, Engine], None] = lambda run, engine: None,
    ) -> Summary:
        """The same, with source, sink and dead letters as `ends`."""
        settings, run_id, begun_s = self.settings, run_id_of(self.settings), time.monotonic()
        source, sink, dead_letters = ends.source, ends.sink, ends.dead_letters
        observer = self.listeners.begin(ends, run_id, settings.run_id)
        window = window_of(settings, ends.least_records, ends.has_room)
        engine = engine_of(
            settings, self._stages, self.local_engine(), self._process_engine, window,
            ends.least_records,
        )  # fmt: skip
        durability = Durability(settings, source, sink, dead_letters)
        shutdown = shutdown or Shutdown(settings.drain_timeout)
        run: Run | None = None
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self._counting)
                monitoring = Monitoring(
                    settings, self._metrics.get(""), self.calls, shutdown, self._observers, run_id
                )
                await stack.enter_async_context(monitoring)
                # what may fail comes first; an output is truncated only when nothing else can
                await stack.enter_async_context(self._observers)
                lifecycle = stack.enter_context(RunLifecycle(self._observers, settings, shutdown))
                stack.callback(durability.close)
                await durability.open()
                await stack.enter_async_context(source)
                monitoring.opened("source")
                await durability.choose()
                await stack.enter_async_context(engine)
                monitoring.opened("stages")
                progress = await durability.rewind()
                keeper = ends.keeper or durability.keeper(progress, observer)
                if dead_letters is not None:
                    await stack.enter_async_context(dead_letters)
                await stack.enter_async_context(sink)
                monitoring.opened("sink")
                if keeper is not None:
                    await keeper.begin(sink, dead_letters)
                run = Run(
                    source=source,
                    engine=engine,
                    sink=sink,
                    dead_letters=dead_letters,
                    forms=on_error_of(settings),
                    window=window,
                    shutdown=shutdown,
                    ordered=settings.ordered,
                    max_errors=1 if settings.on_error == "stop" else settings.max_errors,
                    keeper=keeper,
                    progress=progress,
                    selection=selection_of(settings),
                    observer=observer,
                    is_mistaken=lambda: bool(self.mistakes),
                )
                ends.begin(run, keeper)
                parts = run, engine, ends, self.calls, self.records
                account = partial(account_of, *parts, begun_s=begun_s)
                monitoring.begin(run, engine, ends, account)
                lifecycle.begin(run, account)
                on_start(run, engine)
                await run.run()
        except Exception as raised:
            if run is None:
                raise
            # user code that could not be left, a worker that failed, a bug: the account stands
            if raised not in run.errors:
                run.errors.append(raised)
        monitoring.report(run, self.mistakes)
        summary = account()
        if run.errors:
            error = foremost(run.errors)
            error.summary = summary  # type: ignore[attr-defined]  # an account
            raise error
        return summary

    def local_engine(self) -> LocalEngine:
        """The engine of this process."""
        program, most = program_of(self._stages, self.settings), self.settings.concurrency
        return LocalEngine(program, most, window_records(most), *self._told)

    def _process_engine(self, count: int) -> Engine:
        from streamproc.assembly.worker_pools import process_engine

        return process_engine(self.settings, self._stages, count, self._observers, self.counts)

    async def stream(self, records: SourceLike) -> AsyncIterator[Record]:
        """The enriched records of `records` (dicts, or lines as str or bytes).

        Failed records come with an `_error`. Breaking out of the loop cancels the rest.
        """
        from streamproc.testing import QueueSink

        sink = QueueSink()
        task = asyncio.create_task(self.run(records, sink))
        task.add_done_callback(lambda _: sink.close())
        try:
            async for line in sink:
                yield decode(line)
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, StreamprocError):
                await task

    def map(self, records: SourceLike) -> Iterator[Record]:
        """The same for code without a loop: a plain generator, whose loop runs in a thread.

        `records` is read, in a thread, no further ahead than results are taken. Closing the
        generator, or leaving the loop over it, cancels the rest. Raises what `run` raises,
        and what `records` raises.

        >>> [r["_error"]["kind"] for r in Pipeline(["none"]).map(["no JSON"])]
        ['malformed']
        """
        from streamproc.sinks.python import HandOverSink

        sink = HandOverSink()
        with Background(lambda: self.run(records, sink), sink.close) as background:
            while lines := sink.take():
                yield from map(decode, lines)
            background.result()

    def run_sync(self, source: SourceLike, sink: SinkLike) -> Summary:
        """As `run`, for code without a loop (in a notebook, too): returns when all is done.

        >>> out = []
        >>> Pipeline(["none"]).run_sync([{"n": 1}], out).ok, out
        (1, [{'n': 1}])
        """
        with Background(lambda: self.run(source, sink)) as background:
            return background.result()
