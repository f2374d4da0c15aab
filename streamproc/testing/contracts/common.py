"""What the contracts of sources and of sinks have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from streamproc.codec import restore, store
from streamproc.types import Position

LINES = [b'{"n":%d,"text":"%s"}' % (n, b"x" * (n % 50)) for n in range(1200)]
OTHERS = [b'{"other":%d}' % n for n in range(1200)]
TURNS = range(0, 40, 3)  # of the loop, before something is cancelled


class InFolder:
    """Each test has a `folder`."""

    folder: Path

    def setup_method(self) -> None:
        """A folder for each test."""
        self._temporary = TemporaryDirectory()
        self.folder = Path(self._temporary.name)

    def teardown_method(self) -> None:
        """And nothing is left of it."""
        self._temporary.cleanup()


def kept_as(position: Position) -> Position:
    """As it comes out of a checkpoint: what JSON makes of it."""
    return restore(dict, store(position))


def data_of(lines: Sequence[bytes]) -> bytes:
    """As they are written."""
    return b"".join(line + b"\n" for line in lines)


async def turn(count: int) -> None:
    """Let the loop go round so often."""
    for _ in range(count):
        await asyncio.sleep(0)
