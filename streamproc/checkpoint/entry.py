"""The checkpoint file: the last entries, oldest first, one line of JSON each."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from msgspec import Struct

from streamproc.codec import restore, store
from streamproc.errors import CreateError, DecodeError, OutputError, ResumeError
from streamproc.fingerprint import Bookmark, FileMark
from streamproc.record import Progress

KEPT = 8  # a machine that lost its last writes has an older one that fits
VERSION = 1


class Entry(Struct, frozen=True, kw_only=True):
    """A state of a run that it can go on from.

    `output` and `dead_letters` are None where they are no regular files. `pipeline` is
    the hash of what was done to the records.
    """

    version: int = VERSION
    time: str
    pipeline: str
    finished: bool
    progress: Progress
    input: Bookmark | None
    output: FileMark | None
    dead_letters: FileMark | None


class CheckpointFile:
    """Written whole, beside the old one, and renamed: it is never half of two.

    It is locked while a run has it, so that a deploy does not start the next run before
    the last one has ended.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._locked: int | None = None

    def open(self) -> bool:
        """Read the entries; False if there is no file. Raises `ResumeError`, `CreateError`."""
        try:
            text = self._lock()
        except FileNotFoundError:
            self._try_folder()
            return False
        except OSError as error:
            raise CreateError(f"cannot open checkpoint {self.path}: {error.strerror}") from error
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
        """Let others have it."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def save(self, entry: Entry) -> None:
        """Add `entry`; on the disk when this returns. Raises `OutputError`."""
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
            self.close()
            self._locked = fd
            _sync_folder(target)
        except OSError as error:
            raise OutputError(self.path, error.strerror or str(error)) from error

    def _lock(self) -> bytes:
        """What it contains, once it is ours."""
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
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
        self._locked = fd
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read()

    def _try_folder(self) -> None:
        folder = os.path.dirname(self.path) or "."
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "no such folder" if not os.path.isdir(folder) else "the folder is not writable"
            raise CreateError(f"cannot create checkpoint {self.path}: {reason}")


def _create(path: str) -> int:
    """A new file, for us alone, whatever stood there: what is left of a run, or a link."""
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
