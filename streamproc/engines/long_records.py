"""Long records: the loop has to wait for them to be decoded, and they have to fit into memory."""

from __future__ import annotations

from math import inf
from time import perf_counter

from streamproc.codec import Document, Outline, objects_bytes
from streamproc.errors import UnreadableError

LONG_BYTES = 256 * 1024  # what is shorter takes neither much time nor much memory


class LongRecords:
    """Opens them, and adds up how long that takes."""

    def __init__(self, room_bytes: float) -> None:
        """`room_bytes`: what the objects of one of them may take."""
        self._room_bytes = room_bytes
        self._took_s = 0.0
        self._longest_bytes = 0

    def document(self, line: bytes) -> Document:
        """Raises as `Document` does; and `UnreadableError` of what does not fit into memory.

        It is not tried: parsers that get no memory may end the process.
        """
        if self._room_bytes < inf and (size := objects_bytes(line)) > self._room_bytes:
            room = f"there is room for {int(self._room_bytes) >> 20} MiB (ulimit -v)"
            takes = f"decoded it takes about {size >> 20} MiB of memory, and {room}"
            raise UnreadableError("too_long", f"{takes}: no stage is given that")
        begun_s = perf_counter()
        try:
            return Document(line)
        finally:
            self._measured(line, begun_s)

    def outline(self, line: bytes) -> Outline:
        """Raises as `Outline.of` does."""
        begun_s = perf_counter()
        try:
            return Outline.of(line)
        finally:
            self._measured(line, begun_s)

    def _measured(self, line: bytes, begun_s: float) -> None:
        self._took_s += perf_counter() - begun_s
        self._longest_bytes = max(self._longest_bytes, len(line))

    def since_last(self) -> tuple[float, int]:
        """Seconds since it was asked for, and the length of the longest record."""
        took_s, longest_bytes = self._took_s, self._longest_bytes
        self._took_s, self._longest_bytes = 0.0, 0
        return took_s, longest_bytes
