"""Checkpoint, resume and acknowledgements of one run, as its settings want them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streamproc.config.identity import identity
from streamproc.config.settings import Settings
from streamproc.errors import ConfigError, ResumeError, UsageError
from streamproc.interfaces import Keeper, Sink, Source
from streamproc.record import Progress
from streamproc.sinks.file import FileSink
from streamproc.sinks.stdout import StdoutSink
from streamproc.sources.file import LineSource

if TYPE_CHECKING:
    from streamproc.checkpoint.entry import CheckpointFile, Entry
    from streamproc.checkpoint.resume import Outputs

log = logging.getLogger("streamproc")


class Durability:
    """In the order in which it is called: `open`, `resume`, `keeper`, `close`.

    `open` only reads. `resume` finds the place in the input and, when all fits, cuts the
    outputs back to it.
    """

    def __init__(
        self, settings: Settings, source: Source, sink: Sink, dead_letters: Sink | None
    ) -> None:
        """Raises `ConfigError`, `UsageError`."""
        self._settings = settings
        self._source = source
        self._sink = sink
        self._sinks = (sink, dead_letters)
        self._file: CheckpointFile | None = None
        self._outputs: Outputs | None = None
        self._entry: Entry | None = None
        self._resumes = settings.resume or settings.resume_force
        self._progress = Progress()
        if self._resumes and settings.checkpoint is None:
            raise UsageError("--resume needs the --checkpoint FILE of the run to go on with")
        if settings.checkpoint is not None and not isinstance(source, LineSource):
            raise ConfigError("checkpoint: only files and stdin have one")

    async def open(self) -> None:
        """Lock and read the checkpoint. Raises `ResumeError`, `CreateError`."""
        path = self._settings.checkpoint
        if path is None:
            return
        from streamproc.checkpoint.entry import CheckpointFile
        from streamproc.checkpoint.resume import Outputs

        sink = self._sink
        target = sink.path if isinstance(sink, FileSink) else None
        self._outputs = Outputs(
            sink.fd if isinstance(sink, StdoutSink) else target, _file(self._settings.dead_letter)
        )
        self._file = CheckpointFile(path)
        for each in self._sinks:
            if isinstance(each, FileSink | StdoutSink):
                each.known = (0, 0)
        if not self._file.open():
            if self._resumes:
                self._outputs.refuse_data(path)
                log.info("there is no checkpoint %s yet: from the start", path)
        elif self._resumes:
            force = self._settings.resume_force
            pipeline = identity(self._settings)
            entries, choose = self._file.entries, self._outputs.choose
            self._entry = await asyncio.to_thread(choose, entries, path, pipeline, force=force)
        elif not self._file.entries[-1].finished:
            lines = self._file.entries[-1].progress.lines
            raise ResumeError(
                f"{path} belongs to a run that did not end (at least {lines} lines are done): "
                "go on with --resume, or delete it to begin again"
            )
        else:
            self._file.entries = []  # those of another run

    async def resume(self) -> Progress:
        """How far the run is already. Raises `ResumeError`, `InputError`, `OutputError`."""
        if self._entry is not None:
            await self._go_on(self._entry)
        if self._resumes and isinstance(self._sink, FileSink):
            self._sink.append = True
        return self._progress

    async def _go_on(self, entry: Entry) -> None:
        assert isinstance(self._source, LineSource)
        assert self._outputs is not None
        assert self._file is not None
        newest = self._file.entries[-1]
        if entry.input is not None and await self._source.is_outgrown(entry.input):
            find = self._outputs.before_tail
            entry = await asyncio.to_thread(find, self._file.entries, entry)
        assert entry.input is not None
        await self._source.resume(entry.input)
        if self._outputs.cut(entry, is_newest=entry is newest):
            self._file.entries = []  # who goes back further would cut off what others have added
        else:
            self._file.entries = self._file.entries[: self._file.entries.index(entry) + 1]
        for each, mark in zip(self._sinks, (entry.output, entry.dead_letters), strict=True):
            if mark is not None and mark.crc32 is not None:
                assert isinstance(each, FileSink | StdoutSink)
                each.known = (mark.offset, mark.crc32)
        self._progress = entry.progress

    def keeper(self) -> Keeper | None:
        """Who remembers this run, None if nobody has to. Raises `UsageError`."""
        settings = self._settings
        if self._file is None and settings.ack_fd is None and not settings.durable:
            return None
        from streamproc.checkpoint.acknowledge import Acknowledger
        from streamproc.checkpoint.keeper import Keeper as Keeping

        acknowledger = None if settings.ack_fd is None else Acknowledger(settings.ack_fd)
        keeper = Keeping(
            file=self._file,
            pipeline=identity(settings),
            bookmark=self._source.bookmark if isinstance(self._source, LineSource) else None,
            progress=self._progress,
            durable=settings.durable,
            acknowledger=acknowledger,
        )
        if self._file is not None and isinstance(self._source, LineSource):
            self._source.before_tail = keeper.settle
        return keeper

    def close(self) -> None:
        """Let others have the checkpoint."""
        if self._file is not None:
            self._file.close()


def _file(dead_letter: object) -> str | None:
    return dead_letter if isinstance(dead_letter, str) else None
