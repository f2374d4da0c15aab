"""The checkpoint file: the last entries, oldest first, one line of JSON each."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from typing import Any

from msgspec import Struct

from streamproc.codec import restore, store
from streamproc.errors import CreateError, DecodeError, OutputError, ResumeError
from streamproc.nearest import not_created
from streamproc.record import Progress

KEPT = 8  # entries: of a machine that lost its last writes an older one still fits
VERSION = 1

_BEGUN = b'{"version":1,"begun":true}\n'  # of a run that has saved nothing yet

_locked: set[int] = set()


def _unlock_in_child() -> None:
    """A process that a stage forks must not keep the lock when we are dead."""
    for fd in _locked:
        with suppress(OSError):
            os.close(fd)
    _locked.clear()


os.register_at_fork(after_in_child=_unlock_in_child)


class Entry(Struct, frozen=True, kw_only=True):
    """A state of a run that it can go on from.

    `input`, `output` and `dead_letters` are positions, which the ends understand that made
    them; None where a run cannot go on at one. `pipeline` is the hash of what was done to the
    records. `closed`: the run ended after it, and wrote nothing more; `finished`: because there
    was no more input.
    """

    version: int = VERSION
    time: str
    pipeline: str
    finished: bool
    closed: bool = False
    progress: Progress
    input: Any
    output: Any
    dead_letters: Any

    def stands_where(self, other: Entry) -> bool:
        """Whether no line was done between this one and `other`."""
        return (self.pipeline, self.progress) == (other.pipeline, other.progress)


class CheckpointFile:
    """Written whole beside the old one, then renamed: nobody sees half of it.

    It is locked from `open` on, so that a deploy does not start the next run before the
    last one has ended. To be locked it exists before there is anything to remember.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._locked: int | None = None

    def open(self) -> bool:
        """Lock it and read the entries; False if there are none yet.

        Raises `ResumeError`, `CreateError`.
        """
        try:
            text = self._lock()
        except OSError as error:
            reason = not_created(error, self.path)
            raise CreateError(f"cannot open checkpoint {self.path}: {reason}") from error
        if text == _BEGUN:
            return False
        for line in text.splitlines():
            with suppress(DecodeError):  # the machine lost the end of it
                entry = restore(Entry, line)
                if entry.version == VERSION:
                    self.entries.append(entry)
        if not self.entries:
            raise ResumeError(
                f"{self.path} is no checkpoint of this version, or it is damaged; "
                "to begin again, delete it and the output"
            )
        return True

    def close(self) -> None:
        """Let others have it. It goes if nothing was saved."""
        if self._locked is None:
            return
        with suppress(OSError):
            if not self.entries and os.pread(self._locked, len(_BEGUN) + 1, 0) == _BEGUN:
                os.unlink(self.path)
        self._release()

    def forget(self, last: Entry | None = None) -> None:
        """What comes behind `last`, or everything: it is not saved again."""
        self.entries = [] if last is None else self.entries[: self.entries.index(last) + 1]

    def save(self, entry: Entry) -> None:
        """Add `entry`; on the disk when this returns. Raises `OutputError`."""
        if self.entries and self.entries[-1].stands_where(entry):
            self.entries.pop()  # a run with nothing to do does not push out what is older
        self.entries = [*self.entries[1 - KEPT :], entry]
        data = b"".join(store(each) + b"\n" for each in self.entries)
        target = os.path.realpath(self.path)  # a link stays one
        temporary = f"{target}.new"
        try:
            fd = _create(temporary)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._locked is not None:  # who may read it is for the user to say
                    os.fchmod(fd, os.fstat(self._locked).st_mode & 0o777)
                with os.fdopen(fd, "wb", closefd=False) as file:
                    file.write(data)
                os.fsync(fd)
                os.rename(temporary, target)
            except BaseException:
                os.close(fd)
                os.unlink(temporary)
                raise
            self._release()
            self._hold(fd)
            _sync_folder(target)
        except OSError as error:
            raise OutputError(self.path, error.strerror or str(error)) from error

    def _lock(self) -> bytes:
        """What it contains, once it is ours."""
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                self._create()
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise CreateError(
                    f"checkpoint {self.path} is in use by another streamproc that still runs"
                ) from None
            if _is_same(fd, self.path):
                break
            os.close(fd)  # it was replaced just now
        self._hold(fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a device or a pipe may never end
            raise CreateError(
                f"checkpoint {self.path} is not a file: name one, or none that exists"
            )
        with open(fd, "rb", closefd=False) as file:
            return file.read()

    def _create(self) -> None:
        """Make it, whole from the first moment, as each later state of it is. Raises OSError."""
        target = os.path.realpath(self.path)
        temporary = f"{target}.{os.getpid()}.new"
        fd = _create(temporary)
        try:
            os.write(fd, _BEGUN)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return  # somebody else was faster
            except OSError:  # a file system without links: two at once do not see each other
                os.rename(temporary, target)
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _hold(self, fd: int) -> None:
        self._locked = fd
        _locked.add(fd)

    def _release(self) -> None:
        if self._locked is not None:
            _locked.discard(self._locked)
            os.close(self._locked)
            self._locked = None


def _create(path: str) -> int:
    """A new file that only its owner may read, in place of a link, or of what a run left there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileExistsError):
        return os.open(path, flags, 0o600)
    if not os.path.islink(path):
        left = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)  # somebody writes it now
        finally:
            os.close(left)
    os.unlink(path)
    return os.open(path, flags, 0o600)


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _sync_folder(path: str) -> None:
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
