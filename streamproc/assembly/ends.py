"""Where a run reads and writes: files, descriptors, topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamproc.config.settings import Settings
from streamproc.errors import UsageError
from streamproc.interfaces import Keeper, Sink, Source
from streamproc.pipeline.run import Run
from streamproc.pipeline.selection import Selection
from streamproc.sinks.file import FileSink
from streamproc.sinks.stdout import StdoutSink
from streamproc.sources.file import LineSource
from streamproc.sources.json_values import JsonCutter
from streamproc.sources.lines import LineCutter

if TYPE_CHECKING:
    from streamproc.kafka.committer import Committer
    from streamproc.kafka.source import KafkaSource

KAFKA_RECORDS = 50_000  # of the window: partitions are read ahead of each other


class Ends:
    """Source, sink and dead letters of one run."""

    def __init__(
        self, settings: Settings, source: Source, sink: Sink, dead_letters: Sink | None
    ) -> None:
        self.source = source
        self.sink = sink
        self.dead_letters = dead_letters
        self._settings = settings

    @classmethod
    def of(
        cls,
        settings: Settings,
        inputs: Sequence[str],
        output: str | None,
        *,
        stdin_fd: int = 0,
        stdout_fd: int = 1,
    ) -> Ends:
        """As the settings say; `inputs` and `output` are files, where no topic is set."""
        source = input_of(settings, inputs, stdin_fd)
        sink: Sink
        if settings.sink is None:
            sink = StdoutSink(stdout_fd) if output is None else _file_sink(settings, output)
        elif settings.sink.kafka.exactly_once:
            sink = _transactional_sink(settings, settings.sink.kafka, source)
        else:
            sink = _topic_sink(settings, settings.sink.kafka)
        return cls.around(settings, source, sink)

    @classmethod
    def around(cls, settings: Settings, source: Source, sink: Sink) -> Ends:
        """With objects that are there already."""
        letters: Sink | None = None
        if isinstance(settings.dead_letter, str):
            letters = FileSink(settings.dead_letter, append=True, permissions=0o600)
        elif settings.dead_letter is not None:
            letters = _topic_sink(settings, settings.dead_letter.kafka)
        ends = cls(settings, source, sink, letters)
        ends._join()
        return ends

    @property
    def least_records(self) -> int:
        """What the window should hold at least."""
        return KAFKA_RECORDS if self._settings.source is not None else 0

    def committer(self) -> Committer | None:
        """Who commits offsets, None for files."""
        source: Any = self.source
        if self._settings.source is None:
            return None
        from streamproc.kafka.committer import Committer

        settings = self._settings
        if settings.checkpoint is not None or settings.resume or settings.ack_fd is not None:
            raise UsageError(
                "--checkpoint, --resume and --ack-fd are for files and pipes: a Kafka source "
                "has the offsets of its group"
            )
        exactly_once = settings.sink is not None and settings.sink.kafka.exactly_once
        return Committer(source, in_transactions=exactly_once)

    def attach(self, run: Run, keeper: Keeper | None) -> None:
        """Let the source know the run that it feeds."""
        sink: Any = self.sink
        if sink.takes_messages:
            sink.refuse = run.forms.refuse
        if self._settings.source is None:
            return
        source: KafkaSource = self.source  # type: ignore[assignment]
        source.corridor = _Corridor(run, keeper)  # type: ignore[arg-type]
        run.window.on_room = source.room
        source.room()

    def _join(self) -> None:
        """A topic for dead letters beside a topic for output; counts of the input's partitions."""
        letters: Any = self.dead_letters
        if letters is not None and letters.takes_messages:
            letters.letters = letters
        if self._settings.sink is None and self._settings.source is None:
            return
        from streamproc.kafka.sink import KafkaSink
        from streamproc.kafka.source import KafkaSource

        for each in (self.sink, self.dead_letters):
            if isinstance(each, KafkaSink) and isinstance(self.source, KafkaSource):
                each.topic.partitions_of = self.source.count_partitions
        if isinstance(self.sink, KafkaSink):
            if isinstance(self.dead_letters, KafkaSink):
                self.sink.letters = self.dead_letters
            if self.sink.letters is not None and self.sink.settings.exactly_once:
                self.sink.letters.is_shared = True


class _Corridor:
    """What a source of many lanes has to know of the run."""

    def __init__(self, run: Run, committer: Committer) -> None:
        self._run = run
        self._committer = committer

    def is_open(self, lane: int) -> bool:
        return self._run.window.is_open(lane)

    async def drained(self, lanes: Sequence[int]) -> None:
        for lane, lines in self._run.lanes.recall(lanes).items():
            self._committer.recalled(lane, lines)
        await self._committer.drained(list(lanes))

    def drop(self, lanes: Sequence[int]) -> None:
        self._run.lanes.drop(lanes)
        self._committer.forget(list(lanes))


def input_of(settings: Settings, inputs: Sequence[str], stdin_fd: int = 0) -> Source:
    """The topic of the settings, else `inputs`, which are files."""
    if settings.source is not None:
        topic: Source = _topic_source(settings, one_line=settings.sink is None)
        return topic
    return LineSource(
        inputs,
        stdin_fd=stdin_fd,
        max_line_bytes=settings.max_line_bytes,
        resumable=settings.checkpoint is not None,
        cutter_of=JsonCutter if settings.input_format == "json" else LineCutter,
    )


def _file_sink(settings: Settings, path: str) -> FileSink:
    # a group goes on where it was, and so does who counts acknowledgements: what the file has
    # of earlier runs stays
    is_in_group = settings.source is not None and settings.source.kafka.group is not None
    is_counted = settings.ack_fd is not None and settings.checkpoint is None
    goes_on = is_in_group or is_counted
    return FileSink(path, append=goes_on, repeats=goes_on)


def _topic_source(settings: Settings, *, one_line: bool) -> Any:
    from streamproc.kafka.source import KafkaSource

    assert settings.source is not None
    return KafkaSource(
        settings.source.kafka,
        stop_at_end=settings.stop_at_end,
        connect_timeout_s=settings.connect_timeout,
        one_line=one_line,
    )


def _topic_sink(settings: Settings, kafka: Any) -> Any:
    from streamproc.kafka.sink import KafkaSink

    return KafkaSink(kafka, connect_timeout_s=settings.connect_timeout)


def _transactional_sink(settings: Settings, kafka: Any, source: Any) -> Any:
    from streamproc.kafka.transactions import TransactionalSink

    return TransactionalSink(kafka, source, connect_timeout_s=settings.connect_timeout)


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
