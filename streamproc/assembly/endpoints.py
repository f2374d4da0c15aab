"""Where a run reads and writes: recipes are opened, and what is open already is taken as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import structs

from streamproc.assembly.programs import on_error_of
from streamproc.config.settings import Settings
from streamproc.errors import UsageError
from streamproc.interfaces import (
    UNOBSERVED,
    EndRecipe,
    ErrorPolicy,
    ProgressTracker,
    RunObserver,
    Sink,
    SinkRecipe,
    SinkScope,
    Source,
    SourceRecipe,
    SourceScope,
    Stream,
)
from streamproc.pipeline.run import Run
from streamproc.pipeline.selection import Selection
from streamproc.record import Batch, Failed, Note
from streamproc.sinks.recipes import File, Stdout
from streamproc.sources.recipes import Files


class Endpoints:
    """Source, sink and dead letters of one run."""

    def __init__(
        self,
        settings: Settings,
        source: Source | SourceRecipe,
        sink: Sink | SinkRecipe,
        dead_letters: Sink | None = None,
    ) -> None:
        """Opens recipes, which touches nothing yet. Raises `ConfigError`, `UsageError`.

        `dead_letters`: instead of what the settings say.
        """
        is_resumable = settings.checkpoint is not None
        self._forms: ErrorPolicy = on_error_of(settings)
        self._recipe = source if isinstance(source, SourceRecipe) else SourceRecipe()
        self._stream = _Stream()
        scope = source_scope(settings, sink, self._stream)
        self.source = source.opened(scope) if isinstance(source, SourceRecipe) else source
        self.keeper = self._recipe.keeper(self.source, scope)
        self._opened: list[tuple[EndRecipe, object]] = [(self._recipe, self.source)]
        counts = settings.ack_fd is not None
        if self.keeper is not None and (is_resumable or settings.resume or counts):
            raise UsageError(
                f"--checkpoint, --resume and --ack-fd are for files and pipes: {self._recipe.what} "
                "has the offsets of its group"
            )
        of_sinks = SinkScope(
            source=self.source,
            refuse=self._refuse,
            # who counts acknowledgements, and a source that remembers, go on where they were
            goes_on=self._recipe.remembers or (counts and not is_resumable),
            is_resumable=is_resumable,
            connect_timeout_s=settings.connect_timeout,
        )
        self.dead_letters = dead_letters
        if dead_letters is None and (letters := dead_letters_of(settings)) is not None:
            self.dead_letters = letters.opened(structs.replace(of_sinks, takes_dead_letters=True))
            self._opened.append((letters, self.dead_letters))
        if isinstance(sink, SinkRecipe):
            recipe, of_sink = sink, structs.replace(of_sinks, dead_letters=self.dead_letters)
            sink = recipe.opened(of_sink)
            self._opened.append((recipe, sink))
        self.sink = sink

    @classmethod
    def of(
        cls,
        settings: Settings,
        inputs: Sequence[str],
        output: str | None,
        *,
        stdin_fd: int = 0,
        stdout_fd: int = 1,
    ) -> Endpoints:
        """As the settings say; `inputs` and `output` are files, where no other end is set."""
        sink: SinkRecipe = Stdout(fd=stdout_fd) if output is None else File(path=output)
        if settings.sink is not None:
            sink = settings.sink.recipe
        return cls(settings, source_of(settings, inputs, stdin_fd), sink)

    @property
    def least_records(self) -> int:
        """What the window should hold at least."""
        return self._recipe.least_records

    def lags(self) -> Mapping[str, int]:
        """See `SourceRecipe`."""
        return self._recipe.lags(self.source)

    def has_room(self) -> None:
        """There is more room in the window."""
        for hear in self._stream.hearers:
            hear()

    def watch(self, observer: RunObserver) -> list[object]:
        """Let `observer` tell what becomes of brokers and the like, while what returns is held."""
        self._stream.observer = observer
        return [recipe.watch(end, observer) for recipe, end in self._opened]

    def begin(self, run: Run, keeper: ProgressTracker | None) -> None:
        """`run` is the one that the source feeds and the sinks are of."""
        self._forms = run.forms
        self._stream.begin(run, keeper)

    def _refuse(self, failed: Failed, batch: Batch, i: int) -> Note:
        return self._forms.refuse(failed, batch, i)


class _Stream:
    """See `Stream`. `hearers` hear of room."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self.keeper: ProgressTracker | None = None
        self.observer = UNOBSERVED
        self.hearers: list[Callable[[], None]] = []

    def begin(self, run: Run, keeper: ProgressTracker | None) -> None:
        self._run, self.keeper = run, keeper

    def is_open(self, lane: int) -> bool:
        return self._run is not None and self._run.window.is_open(lane)

    def on_room(self, call: Callable[[], None]) -> None:
        self.hearers.append(call)

    def recall(self, lanes: Sequence[int]) -> Mapping[int, int]:
        return {} if self._run is None else self._run.lanes.recall(lanes)

    def drop(self, lanes: Sequence[int]) -> None:
        if self._run is not None:
            self._run.lanes.drop(lanes)

    async def settle(self) -> None:
        if self.keeper is not None:
            await self.keeper.settle()


def source_of(settings: Settings, inputs: Sequence[str], stdin_fd: int = 0) -> SourceRecipe:
    """What the settings say, else `inputs`, which are files."""
    if settings.source is not None:
        recipe: SourceRecipe = settings.source.recipe
        return recipe
    return Files(inputs=tuple(inputs), stdin_fd=stdin_fd, format=settings.input_format)


def source_scope(
    settings: Settings, sink: Sink | SinkRecipe, stream: Stream | None = None
) -> SourceScope:
    """What a source is told of a run that writes to `sink`."""
    return SourceScope(
        sink=sink,
        stream=stream,
        is_resumable=settings.checkpoint is not None,
        stops_at_end=settings.stop_at_end,
        connect_timeout_s=settings.connect_timeout,
        max_line_bytes=settings.max_line_bytes,
    )


def dead_letters_of(settings: Settings) -> SinkRecipe | None:
    """Where they go."""
    if isinstance(settings.dead_letter, str):
        return File(path=settings.dead_letter)
    return None if settings.dead_letter is None else settings.dead_letter.recipe


def selection_of(settings: Settings) -> Selection | None:
    """None where every record is wanted."""
    if settings.limit is None and not settings.skip and settings.sample == 1.0:
        return None
    return Selection(
        skip=settings.skip,
        sample=settings.sample,
        seed=settings.sample_seed,
        limit=settings.limit,
    )
