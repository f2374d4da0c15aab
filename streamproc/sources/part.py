"""One of the inputs, and how far it was read."""

from __future__ import annotations

import os

from streamproc.fingerprint import FileMark, is_file
from streamproc.sources.checksums import Checksums
from streamproc.sources.prefix import Prefix

STDIN = "<stdin>"


class Part:
    """One of the inputs. `begin`: the offset of its descriptor, which a shell may have moved."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = STDIN if name == "-" else name
        self.fd = fd
        self.is_file = is_file(fd)
        self.begin = os.lseek(fd, 0, os.SEEK_CUR) if self.is_file else 0
        self.line = 1
        self.offset = 0
        self.rest = b""  # read, and not cut into lines yet
        self.prefix: Prefix | None = None
        self.sums: Checksums | None = None
        self.is_unended = False  # its last line had no newline
        self.mark: FileMark | None = None  # once all of it is done
        self.is_done = False  # by an earlier run
