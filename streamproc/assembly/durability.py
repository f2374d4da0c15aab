"""Checkpoint, resume and acknowledgements of one run, as its settings want them."""

from __future__ import annotations

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

    def __init__(self, settings: Settings, source: Source, sink: Sink) -> None:
        """Raises `ConfigError`, `UsageError`."""
        self._settings = settings
        self._source = source
        self._sink = sink
        self._file: CheckpointFile | None = None
        self._outputs: Outputs | None = None
        self._entry: Entry | None = None
        self._resumes = settings.resume or settings.resume_force
        self._progress = Progress()
        if self._resumes and settings.checkpoint is None:
            raise UsageError("--resume needs the --checkpoint FILE of the run to go on with")
        if settings.checkpoint is not None and not isinstance(source, LineSource):
            raise ConfigError("checkpoint: only files and stdin have one")

    def open(self) -> None:
        """Read the checkpoint. Raises `ResumeError`, `CreateError`."""
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
        if not self._file.open():
            if self._resumes:
                self._outputs.refuse_data(path)
                log.info("there is no checkpoint %s yet: from the start", path)
        elif self._resumes:
            force = self._settings.resume_force
            pipeline = identity(self._settings)
            self._entry = self._outputs.choose(self._file.entries, path, pipeline, force=force)
        elif not self._file.entries[-1].finished:
            lines = self._file.entries[-1].progress.lines
            raise ResumeError(
                f"{path} belongs to a run that did not end ({lines} lines are done): go on with "
                "--resume, or delete it to begin again"
            )

    async def resume(self) -> Progress:
        """How far the run is already. Raises `ResumeError`, `InputError`, `OutputError`."""
        if self._entry is not None and self._outputs is not None:
            assert isinstance(self._source, LineSource)
            assert self._entry.input is not None
            await self._source.resume(self._entry.input)
            self._outputs.cut(self._entry)
            self._progress = self._entry.progress
        if self._resumes and isinstance(self._sink, FileSink):
            self._sink.append = True
        return self._progress

    def keeper(self) -> Keeper | None:
        """Who remembers this run, None if nobody has to. Raises `UsageError`."""
        settings = self._settings
        if self._file is None and settings.ack_fd is None and not settings.durable:
            return None
        from streamproc.checkpoint.acknowledge import Acknowledger
        from streamproc.checkpoint.keeper import Keeper as Keeping

        acknowledger = None if settings.ack_fd is None else Acknowledger(settings.ack_fd)
        return Keeping(
            file=self._file,
            pipeline=identity(settings),
            bookmark=self._source.bookmark if isinstance(self._source, LineSource) else None,
            progress=self._progress,
            durable=settings.durable,
            acknowledger=acknowledger,
        )

    def close(self) -> None:
        """Let others have the checkpoint."""
        if self._file is not None:
            self._file.close()


def _file(dead_letter: object) -> str | None:
    return dead_letter if isinstance(dead_letter, str) else None
