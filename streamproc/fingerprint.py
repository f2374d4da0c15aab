"""What files and streams are recognised by when a run goes on.

Nothing but content counts: a deploy changes devices and inodes, and names too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from streamproc.types import Offset

EDGE_BYTES = 4096

_READ_BYTES = 256 * 1024


class Place(NamedTuple):
    """An offset in an open file, and the CRC-32 of all bytes before it, None if unknown."""

    fd: int
    offset: int
    crc32: int | None = None


class FileMark(Struct, frozen=True, tag="file"):
    """A regular file up to `offset`: SHA-256 of the first 4 KiB of that, and of the last.

    `crc32` is that of all of it: it finds what somebody has edited in between, can be carried
    on from where it stood, and costs a fifth of a digest. `changed_ns` is when the file was
    changed last (0: it was changed while it was read): one with the same, and the same device,
    inode and size is not read again. Hashes are empty, and the CRC None, where the file could
    be written but not read.
    """

    offset: Offset
    size: Offset
    head: str
    tail: str
    device: int
    inode: int
    crc32: int | None = None
    changed_ns: int = 0


class PipeMark(Struct, frozen=True, tag="pipe"):
    """The first `offset` bytes that came through a pipe, and their SHA-256."""

    offset: Offset
    sha256: str


Mark = FileMark | PipeMark


class Bookmark(Struct, frozen=True):
    """A place in the input.

    `marks` are those of the inputs up to the one that is being read, `line` is the
    physical line that follows the last of them, and `skip` lines after it are done.
    `is_unended`: the line before it was the last one, and had no newline.
    """

    marks: Annotated[tuple[Mark, ...], Meta(min_length=1)]
    line: Offset = 1
    skip: Offset = 0
    is_unended: bool = False


def is_file(fd: int) -> bool:
    """Whether `fd` is a regular file: it can be read again, and cut."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def mark_of(place: Place, changed_ns: int = 0) -> FileMark:
    """The mark of an open file at `place`. `changed_ns`: of when reading began. Raises OSError."""
    fd, offset, crc32 = place
    status = os.fstat(fd)
    head, tail = _edges(fd, offset)
    return FileMark(
        offset,
        status.st_size,
        head,
        tail,
        status.st_dev,
        status.st_ino,
        crc32,
        changed_ns if changed_ns == status.st_ctime_ns else 0,
    )


def misfit(mark: FileMark, fd: int) -> str | None:
    """Why the open file is not the one of `mark`, None if it is. Raises OSError."""
    status = os.fstat(fd)
    if status.st_size < mark.offset:
        return f"it has {status.st_size} bytes, {mark.offset} are needed"
    head, tail = _edges(fd, mark.offset)
    for was, found, where in ((mark.head, head, "first"), (mark.tail, tail, "last")):
        if was and found and was != found:
            return f"the {where} {EDGE_BYTES} of its first {mark.offset} bytes are not the same"
    now = (status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size)
    if mark.changed_ns and now == (mark.changed_ns, mark.device, mark.inode, mark.size):
        return None
    if mark.crc32 is not None and checksum(fd, mark.offset) not in (None, mark.crc32):
        return f"its first {mark.offset} bytes are not the same"
    return None


def begins_as(mark: FileMark, fd: int) -> bool:
    """Whether the open file, though it may be shorter, begins as the one of `mark`."""
    size = os.fstat(fd).st_size
    length = min(EDGE_BYTES, mark.offset)
    if size < length:
        return not size
    return mark.head in ("", _edges(fd, length)[0])


def checksum(fd: int, offset: int, known: tuple[int, int] = (0, 0)) -> int | None:
    """CRC-32 of an open file's first bytes; `known` is an offset before it, and that of it.

    None if the file cannot be read. Raises OSError.
    """
    from streamproc.crc32 import crc32 as crc32_of

    at, crc32 = known
    with _readable(fd) as again:
        if again is None:
            return None if at < offset else crc32
        while at < offset and (chunk := os.pread(again, min(_READ_BYTES, offset - at), at)):
            crc32 = crc32_of(chunk, crc32)
            at += len(chunk)
    return crc32


def last_line(fd: int) -> bytes:
    """What stands after the last newline of an open file; nothing if it cannot be read."""
    with _readable(fd) as again:
        at, tail = os.fstat(fd).st_size, b""
        while again is not None and at and b"\n" not in tail:
            step = min(at, max(EDGE_BYTES, len(tail)))  # doubling: linear in the length
            at -= step
            tail = os.pread(again, step, at) + tail
    return tail[tail.rfind(b"\n") + 1 :]


def has_zeros(fd: int, start: int, stop: int) -> bool:
    """Whether there are NULs, of which JSON has none: blocks that were never written."""
    with _readable(fd) as again:
        while again is not None and start < stop:
            chunk = os.pread(again, min(_READ_BYTES, stop - start), start)
            if not chunk or 0 in chunk:
                return 0 in chunk
            start += len(chunk)
    return False


def _edges(fd: int, offset: int) -> tuple[str, str]:
    from hashlib import sha256

    with _readable(fd) as again:
        if again is None:
            return "", ""
        length = min(EDGE_BYTES, offset)
        head = os.pread(again, length, 0)
        tail = os.pread(again, length, offset - length)
        return sha256(head).hexdigest(), sha256(tail).hexdigest()


@contextmanager
def _readable(fd: int) -> Iterator[int | None]:
    """What was opened for writing only is opened a second time; None if that is not allowed."""
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield again
    finally:
        os.close(again)
