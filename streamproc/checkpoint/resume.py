"""Going on: the newest entry of a checkpoint that fits outputs and pipeline, and the cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamproc.checkpoint.entry import Entry
from streamproc.errors import OutputError, ResumeError
from streamproc.fingerprint import FileMark, begins_as, is_file, misfit

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
        """The newest of `entries` that fits. Nothing is touched. Raises `ResumeError`."""
        newest = entries[-1]
        if newest.pipeline != pipeline and not force:
            raise ResumeError(
                f"{path} is the checkpoint of another pipeline: go on with the same stages, or say "
                "--resume-force if the rest is meant to be done differently"
            )
        self._refuse_emptied(newest)
        problems = ""
        for entry in reversed(entries):
            found = self._misfit(entry, newest)
            if found is None:
                return entry
            problems = problems or found
        raise ResumeError(f"{path} does not fit: {problems}; nothing was changed")

    def cut(self, entry: Entry) -> None:
        """Take off what was written after `entry`: it is written again. Raises `OutputError`."""
        for (name, target), mark in self._marked(entry):
            if mark is None or target is None:
                continue
            try:
                with _opened(target, os.O_WRONLY) as fd:
                    if fd is not None:
                        os.ftruncate(fd, mark.offset)
                        os.lseek(fd, mark.offset, os.SEEK_SET)
            except OSError as error:
                raise OutputError(name, error.strerror or str(error)) from error

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
        _, target = self._targets[0]
        if not isinstance(target, int) or newest.output is None or not newest.output.offset:
            return
        if is_file(target) and not os.fstat(target).st_size:
            raise ResumeError(
                "stdout is empty, and had "
                f"{newest.output.offset} bytes at the checkpoint: the shell's > empties a file "
                "before the command starts; resume with >> FILE or -o FILE"
            )

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
                    elif not begins_as(last, fd):  # every file fits a mark at its first byte
                        return f"{name} is not the output of the checkpoint: it begins differently"
                    elif problem := misfit(mark, fd):
                        return f"{name} is not the output of the checkpoint: {problem}"
            except OSError as error:
                return f"{name} cannot be read: {error.strerror}"
        return None


@contextmanager
def _opened(target: Target, flags: int) -> Iterator[int | None]:
    """A descriptor, None for a file that does not exist."""
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
