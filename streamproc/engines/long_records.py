"""Long records: others wait for them to be decoded, and they have to fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import TypeVar

from streamproc.codec import Document, Outline, objects_bytes
from streamproc.errors import UnreadableError
from streamproc.threads import aside

T = TypeVar("T")


class LongRecords:
    """Opens them, and adds up how long it takes what is done with them beside calls."""

    def __init__(self, room_bytes: float) -> None:
        """`room_bytes`: what the objects of one of them may take."""
        self._room_bytes = room_bytes
        self._took_s = 0.0
        self._longest_bytes = 0
        self._aside = 0  # how many there are now
        self._aside_since_s = 0.0

    async def aside(self, line: bytes, function: Callable[..., T], *arguments: object) -> T:
        """What `function` returns, which takes long as `line` is long; others have the loop."""
        if not self._aside:
            self._aside_since_s = perf_counter()
        self._aside += 1
        self._longest_bytes = max(self._longest_bytes, len(line))
        try:
            return await aside(function, *arguments)
        finally:
            self._aside -= 1
            if not self._aside:
                self._took_s += perf_counter() - self._aside_since_s

    def document(self, line: bytes) -> Document:
        """Raises as `Document` does; and `UnreadableError` of what does not fit into memory.

        It is not tried: parsers that get no memory may end the process.
        """
        if self._room_bytes < inf and (size := objects_bytes(line)) > self._room_bytes:
            room = f"there is room for {int(self._room_bytes) >> 20} MiB (ulimit -v)"
            takes = f"decoded it takes about {size >> 20} MiB of memory, and {room}"
            raise UnreadableError("too_long", f"{takes}: no stage is given that")
        return Document(line)

    def outline(self, line: bytes) -> Outline:
        """Raises as `Outline.of` does."""
        begun_s = perf_counter()
        try:
            return Outline.of(line)
        finally:
            self._took_s += perf_counter() - begun_s
            self._longest_bytes = max(self._longest_bytes, len(line))

    def since_last(self) -> tuple[float, int]:
        """Seconds since it was asked for, and the length of the longest record."""
        took_s, longest_bytes = self._took_s, self._longest_bytes
        self._took_s = 0.0
        if self._aside:  # and goes on
            now_s = perf_counter()
            took_s += now_s - self._aside_since_s
            self._aside_since_s = now_s
        else:
            self._longest_bytes = 0
        return took_s, longest_bytes
