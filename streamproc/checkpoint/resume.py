"""Going on: the newest entry of a checkpoint that fits outputs and pipeline, and the cut."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamproc.checkpoint.entry import Entry
from streamproc.errors import OutputError, ResumeError
from streamproc.fingerprint import FileMark, begins_as, has_zeros, is_file, misfit

log = logging.getLogger("streamproc")

Target = str | int | None
"""A name, an open descriptor, None for none."""


class Outputs:
    """The output and the dead-letter file of a run that goes on, before it opens them."""

    def __init__(self, output: Target, dead_letters: str | None) -> None:
        self._targets: list[tuple[str, Target]] = [
            ("stdout" if isinstance(output, int) else str(output), output),
            (str(dead_letters), dead_letters),
        ]

    def choose(self, entries: list[Entry], path: str, pipeline: str, *, force: bool) -> Entry:
        """The newest of `entries` that fits. Nothing is touched. Raises `ResumeError`.

        An older one only if the machine has lost what was written last: an edit is refused.
        """
        newest = entries[-1]
        if newest.pipeline != pipeline and not force:
            raise ResumeError(
                f"{path} is the checkpoint of another pipeline: go on with the same stages, or say "
                "--resume-force if the rest is meant to be done differently"
            )
        self._refuse_emptied(newest)
        problem = self._misfit(newest, newest)
        if problem is None:
            return newest
        if self._has_lost_writes(entries):
            for entry in reversed(entries[:-1]):
                if self._misfit(entry, newest) is None:
                    return entry
        raise ResumeError(f"{path} does not fit: {problem}; nothing was changed")

    def before_tail(self, entries: list[Entry], last: Entry) -> Entry:
        """The one before the line that had no newline at `last`. Raises `ResumeError`."""
        if not any(self._foreign_bytes(last)):
            for entry in reversed(entries[: entries.index(last)]):
                is_before = entry.input is not None and not entry.input.is_unended
                if is_before and self._misfit(entry, last) is None:
                    return entry
        raise ResumeError(
            "the last line of the input had no newline and was done as it was; now it has grown, "
            "and its output cannot be taken back any more: begin again, without the checkpoint and "
            "the output, or give that line its newline"
        )

    def cut(self, entry: Entry, *, is_newest: bool) -> bool:
        """Take off what was written after `entry`: it is written again. Raises `OutputError`.

        What was written after the run had ended is somebody else's and stays; then it is True.
        """
        foreign = self._foreign_bytes(entry) if is_newest else [0, 0]
        for ((name, target), mark), count in zip(self._marked(entry), foreign, strict=True):
            if mark is None or target is None:
                continue
            try:
                with _opened(target, os.O_WRONLY) as fd:
                    if fd is None:
                        continue
                    if not count:
                        os.ftruncate(fd, mark.offset)
                    os.lseek(fd, mark.offset + count, os.SEEK_SET)
            except OSError as error:
                raise OutputError(name, error.strerror or str(error)) from error
            if count:
                log.info("%s: %d bytes that were added after the run stay", name, count)
        return any(foreign)

    def _foreign_bytes(self, entry: Entry) -> list[int]:
        """Of the output and of the dead letters, how much was added after the run had ended."""
        found = []
        for (_, target), mark in self._marked(entry):
            count = 0
            is_end = entry.closed or entry.finished
            if is_end and mark is not None and mark.size == mark.offset and target is not None:
                with _opened(target, os.O_RDONLY) as fd:
                    count = 0 if fd is None else max(0, os.fstat(fd).st_size - mark.offset)
            found.append(count)
        return found

    def _has_lost_writes(self, entries: list[Entry]) -> bool:
        """Whether a file is shorter than it was, or has blocks that were never written."""
        newest, oldest = entries[-1], entries[0]
        for ((_, target), mark), (_, before) in zip(
            self._marked(newest), self._marked(oldest), strict=True
        ):
            if mark is None or target is None:
                continue
            with _opened(target, os.O_RDONLY) as fd:
                if fd is None or not is_file(fd):
                    continue
                begin = 0 if before is None else before.offset
                if 0 < os.fstat(fd).st_size < mark.offset or has_zeros(fd, begin, mark.offset):
                    return True
        return False

    def refuse_data(self, path: str) -> None:
        """There is no checkpoint: what is there already is of nobody knows what run."""
        name, target = self._targets[0]
        with _opened(target, os.O_RDONLY) as fd:
            if fd is not None and is_file(fd) and os.fstat(fd).st_size:
                raise ResumeError(
                    f"there is no checkpoint {path}, but {name} has data: delete it to begin "
                    "again, or name the checkpoint that belongs to it"
                )

    def _refuse_emptied(self, newest: Entry) -> None:
        name, target = self._targets[0]
        if newest.output is None or not newest.output.offset:
            return
        with _opened(target, os.O_RDONLY) as fd:
            if fd is None or not is_file(fd) or os.fstat(fd).st_size:
                return
        had = f"{name} is empty, and had {newest.output.offset} bytes at the checkpoint"
        if isinstance(target, int):
            raise ResumeError(
                f"{had}: the shell's > empties a file before the command starts; resume with "
                ">> FILE or -o FILE"
            )
        raise ResumeError(f"{had}; nothing was changed")

    def _marked(self, entry: Entry) -> Iterator[tuple[tuple[str, Target], FileMark | None]]:
        return zip(self._targets, (entry.output, entry.dead_letters), strict=True)

    def _misfit(self, entry: Entry, newest: Entry) -> str | None:
        latest = (newest.output, newest.dead_letters)
        for ((name, target), mark), last in zip(self._marked(entry), latest, strict=True):
            if mark is None or last is None:
                continue
            if target is None:
                return "it was written with --dead-letter, and none is given now"
            try:
                with _opened(target, os.O_RDONLY) as fd:
                    if fd is None:
                        if last.offset:
                            return f"{name} is missing"
                    elif not is_file(fd):
                        return f"{name} is no file now, and was one at the checkpoint"
                    elif not mark.offset and not begins_as(last, fd):  # every file fits that mark
                        return f"{name} is not the output of the checkpoint: it begins differently"
                    elif problem := misfit(mark, fd):
                        return f"{name} is not the output of the checkpoint: {problem}"
            except OSError as error:
                return f"{name} cannot be read: {error.strerror}"
        return None


@contextmanager
def _opened(target: Target, flags: int) -> Iterator[int | None]:
    """A descriptor, None for a file that does not exist."""
    if target is None:
        yield None
        return
    if isinstance(target, int):
        yield target
        return
    try:
        fd = os.open(str(target), flags | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
