"""What files and streams are recognised by when a run goes on.

Nothing but content counts: a deploy changes devices and inodes, and names too.
"""

from __future__ import annotations

import os
import stat

from msgspec import Struct

EDGE_BYTES = 4096


class FileMark(Struct, frozen=True, tag="file"):
    """A regular file up to `offset`: SHA-256 of the first 4 KiB of that, and of the last.

    `device` and `inode` are hints for people. Hashes are empty where the file could be
    written but not read.
    """

    offset: int
    size: int
    head: str
    tail: str
    device: int
    inode: int


class PipeMark(Struct, frozen=True, tag="pipe"):
    """The first `offset` bytes that came through a pipe, and their SHA-256."""

    offset: int
    sha256: str


Mark = FileMark | PipeMark


class Bookmark(Struct, frozen=True):
    """A place in the input.

    `marks` are those of the inputs up to the one that is being read, `line` is the
    physical line that follows the last of them, and `skip` lines after it are done.
    """

    marks: tuple[Mark, ...]
    line: int = 1
    skip: int = 0


def is_file(fd: int) -> bool:
    """Whether `fd` is a regular file: it can be read again, and cut."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def mark_of(fd: int, offset: int) -> FileMark:
    """The mark of an open file at `offset`. Raises OSError."""
    status = os.fstat(fd)
    head, tail = _edges(fd, offset)
    return FileMark(offset, status.st_size, head, tail, status.st_dev, status.st_ino)


def misfit(mark: FileMark, fd: int) -> str | None:
    """Why the open file is not the one of `mark`, None if it is. Raises OSError."""
    size = os.fstat(fd).st_size
    if size < mark.offset:
        return f"it has {size} bytes, {mark.offset} are needed"
    head, tail = _edges(fd, mark.offset)
    for was, found, where in ((mark.head, head, "first"), (mark.tail, tail, "last")):
        if was and found and was != found:
            return f"the {where} {EDGE_BYTES} of its first {mark.offset} bytes are not the same"
    return None


def begins_as(mark: FileMark, fd: int) -> bool:
    """Whether the open file, though it may be shorter, begins as the one of `mark`."""
    size = os.fstat(fd).st_size
    length = min(EDGE_BYTES, mark.offset)
    if size < length:
        return not size
    return mark.head in ("", _edges(fd, length)[0])


def _edges(fd: int, offset: int) -> tuple[str, str]:
    from hashlib import sha256

    try:
        # what was opened for writing only is opened a second time
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "", ""
    try:
        length = min(EDGE_BYTES, offset)
        head = os.pread(again, length, 0)
        tail = os.pread(again, length, offset - length)
        return sha256(head).hexdigest(), sha256(tail).hexdigest()
    finally:
        os.close(again)
