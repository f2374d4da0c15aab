"""Going on: the newest entry of a checkpoint at which all ends can, and the way back to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TypeGuard

from streamproc.checkpoint.entry import CheckpointFile, Entry
from streamproc.codec import retyped
from streamproc.errors import DecodeError, ResumeError
from streamproc.interfaces import Misfit, ResumableSink, ResumableSource, Sink
from streamproc.types import Position

log = logging.getLogger("streamproc")

_NO_LETTERS = Misfit("it was written with --dead-letter, and none is given now")


class Resumption:
    """The ends of a run that goes on. All are asked before any is rewound."""

    def __init__(
        self,
        file: CheckpointFile,
        source: ResumableSource,
        sink: Sink,
        dead_letters: Sink | None,
    ) -> None:
        self._file = file
        self._source = source
        self._sinks = (sink, dead_letters)

    async def refuse_data(self) -> None:
        """There is no checkpoint: nobody knows which run wrote what is there; `ResumeError`."""
        sink = self._sinks[0]
        if can_resume(sink) and await sink.added(None):
            raise ResumeError(
                f"there is no checkpoint {self._file.path}, but {sink.name} has data: delete it to "
                "begin again, or name the checkpoint that belongs to it"
            )

    def refuse_pipeline(self, pipeline: str) -> None:
        """The newest entry is of another pipeline. Raises `ResumeError`."""
        if self._file.entries[-1].pipeline != pipeline:
            raise ResumeError(
                f"{self._file.path} is the checkpoint of another pipeline: go on with the same "
                "stages, or say --resume-force if the rest is meant to be done differently"
            )

    async def choose(self) -> Entry:
        """The newest entry that fits. Raises `ResumeError`, `InputError`.

        An older one is taken only if an end says that its machine lost what was written last. A
        file that was edited is refused, and so is going back over what others have added.
        """
        newest = self._file.entries[-1]
        problem = await self._misfit(newest, None)
        if problem is None:
            return newest
        if problem.has_earlier and not await self._foreign(newest):
            for entry in reversed(self._file.entries[:-1]):
                if await self._misfit(entry, newest) is None:
                    return entry
        raise ResumeError(f"{self._file.path} does not fit: {problem.why}; nothing was changed")

    async def rewind(self, entry: Entry | None) -> None:
        """Go back to `entry`: what came later is done again. None: go on with what is there.

        What was added after the run had ended is somebody else's and stays. Raises `OutputError`.
        """
        is_newest = entry is not None and entry is self._file.entries[-1]
        foreign = await self._foreign(entry) if entry and is_newest else []
        for sink, position in self._of_sinks(entry):
            if can_resume(sink):
                stays = sink in foreign
                if stays:
                    log.info("%s: what was added after the run stays", sink.name)
                await sink.rewind(None if stays or position is None else _typed(sink, position))
        if entry is None:
            return
        await self._source.rewind(_typed(self._source, entry.input))
        # a later run must not go back further: it would cut off what others have added
        self._file.forget(None if foreign else entry)

    async def _foreign(self, entry: Entry) -> list[Sink]:
        """The sinks to which something was added after the run that `entry` ends."""
        if not (entry.closed or entry.finished):
            return []
        found: list[Sink] = []
        for sink, position in self._of_sinks(entry):
            if position is None or not can_resume(sink):
                continue
            try:
                is_foreign = await sink.added(_typed(sink, position)) > 0
            except DecodeError:
                is_foreign = True  # from where on, nobody knows
            if is_foreign:
                found.append(sink)
        return found

    async def _misfit(self, entry: Entry, later: Entry | None) -> Misfit | None:
        for (sink, position), (_, latest) in zip(
            self._of_sinks(entry), self._of_sinks(later or entry), strict=True
        ):
            if position is None or latest is None:
                continue
            if sink is None:
                return _NO_LETTERS
            if problem := await _asked(sink, position, latest if later else None):
                return problem
        return await _asked(self._source, entry.input, later and later.input)

    def _of_sinks(self, entry: Entry | None) -> Iterator[tuple[Sink | None, Position]]:
        positions = (None, None) if entry is None else (entry.output, entry.dead_letters)
        return zip(self._sinks, positions, strict=True)


async def _asked(end: Sink | ResumableSource, position: Position, later: Position) -> Misfit | None:
    what = getattr(end, "name", "the input")
    if not can_resume(end):
        return Misfit(f"{what} is no output that a run can go on with")
    try:
        return await end.fits(_typed(end, position), None if later is None else _typed(end, later))
    except DecodeError:
        return Misfit(f"{what} is of another kind than at the checkpoint")


def can_resume(end: object) -> TypeGuard[ResumableSink]:
    """Whether a run can go on at an end."""
    return hasattr(end, "rewind")


def _typed(end: ResumableSink | ResumableSource, position: Position) -> Position:
    return retyped(end.position_type, position)
