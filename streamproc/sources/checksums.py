"""The running checksum of a file that is read: how a run knows it again when it goes on."""

from __future__ import annotations

import os
from collections import deque

from streamproc.fingerprint import FileMark, Place, checksum, mark_of


class Checksums:
    """CRC-32 of a file's first bytes, at each place where a chunk ended.

    `add` is called by the thread that reads, `mark` by another one.
    """

    def __init__(self, fd: int, offset: int, known: tuple[int, int] = (0, 0)) -> None:
        """Reading begins at `offset`; reads from the place that is `known` to there."""
        self._fd = fd
        self._changed_ns = os.fstat(fd).st_ctime_ns
        crc32 = checksum(fd, offset, known)
        self._places: deque[tuple[int, int]] = deque([(offset, crc32 or 0)])
        self._is_known = crc32 is not None

    def add(self, chunk: bytes) -> None:
        """The next bytes."""
        from streamproc.crc32 import crc32

        offset, before = self._places[-1]
        self._places.append((offset + len(chunk), crc32(chunk, before)))

    def mark(self, offset: int) -> FileMark:
        """The mark at `offset`, which never goes back. Raises OSError."""
        while len(self._places) > 1 and self._places[1][0] <= offset:
            self._places.popleft()
        # less than a chunk of it is read once more
        crc32 = checksum(self._fd, offset, self._places[0]) if self._is_known else None
        return mark_of(Place(self._fd, offset, crc32), self._changed_ns)
