"""Checkpoint, resume and acknowledgements of one run, as its settings want them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from streamproc.config.identity import identity
from streamproc.config.settings import Settings
from streamproc.errors import ConfigError, ResumeError, UsageError
from streamproc.interfaces import ProgressTracker, ResumableSource, RunObserver, Sink, Source
from streamproc.record import Progress

if TYPE_CHECKING:
    from streamproc.checkpoint.entry import CheckpointFile, Entry
    from streamproc.checkpoint.resume import Resumption

log = logging.getLogger("streamproc")


class Durability:
    """In the order in which it is called: `open`, `choose`, `rewind`, `keeper`, `close`.

    `open` reads the checkpoint, `choose` finds where all ends can go on, and only `rewind`
    changes anything.
    """

    def __init__(
        self, settings: Settings, source: Source, sink: Sink, dead_letters: Sink | None
    ) -> None:
        """Raises `ConfigError`, `UsageError`."""
        self._settings = settings
        self._source = cast("ResumableSource", source)
        self._sinks = (sink, dead_letters)
        self._file: CheckpointFile | None = None
        self._resumption: Resumption | None = None
        self._entry: Entry | None = None
        self._resumes = settings.resume or settings.resume_force
        if self._resumes and settings.checkpoint is None:
            raise UsageError("--resume needs the --checkpoint FILE of the run to go on with")
        if settings.checkpoint is not None and not hasattr(source, "rewind"):
            raise ConfigError("checkpoint: this source has no place that a run can go on from")

    async def open(self) -> None:
        """Lock and read the checkpoint. Raises `ResumeError`, `CreateError`."""
        path = self._settings.checkpoint
        if path is None:
            return
        from streamproc.checkpoint.entry import CheckpointFile
        from streamproc.checkpoint.resume import Resumption

        self._file = file = CheckpointFile(path)
        resumption = Resumption(file, self._source, *self._sinks)
        is_begun = file.open()
        if self._resumes:
            self._resumption = resumption
            if not is_begun:
                await resumption.refuse_data()
                log.info("there is no checkpoint %s yet: from the start", path)
            elif not self._settings.resume_force:
                resumption.refuse_pipeline(identity(self._settings))
        elif is_begun and not file.entries[-1].finished:
            lines = file.entries[-1].progress.lines
            raise ResumeError(
                f"{path} belongs to a run that did not end (at least {lines} lines are done): "
                "go on with --resume, or delete it to begin again"
            )
        else:
            file.forget()  # the entries of another run

    async def choose(self) -> None:
        """Find where to go on; the source is open. Raises `ResumeError`, `InputError`."""
        if self._resumption is not None and self._file is not None and self._file.entries:
            self._entry = await self._resumption.choose()

    async def rewind(self) -> Progress:
        """Go back there: how far the run is already. Raises `InputError`, `OutputError`."""
        if self._resumption is not None:
            await self._resumption.rewind(self._entry)
        return Progress() if self._entry is None else self._entry.progress

    def keeper(self, progress: Progress, observer: RunObserver) -> ProgressTracker | None:
        """Who remembers this run, None if nobody has to. Raises `UsageError`."""
        settings = self._settings
        if self._file is None and settings.ack_fd is None and not settings.durable:
            return None
        from streamproc.checkpoint.acknowledge import Acknowledger
        from streamproc.checkpoint.keeper import CheckpointKeeper

        acknowledger = None if settings.ack_fd is None else Acknowledger(settings.ack_fd)
        return CheckpointKeeper(
            file=self._file,
            pipeline=identity(settings),
            source=None if self._file is None else self._source,
            progress=progress,
            durable=settings.durable,
            acknowledger=acknowledger,
            observer=observer,
        )

    def close(self) -> None:
        """Let others have the checkpoint."""
        if self._file is not None:
            self._file.close()
