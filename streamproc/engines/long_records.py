"""How long it takes to decode long records: whatever stages do, the loop has to wait for that."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

_T = TypeVar("_T")

LONG_BYTES = 256 * 1024  # what is shorter does not take long enough to be measured


class LongRecords:
    """Adds up what they take, until it is asked for."""

    def __init__(self) -> None:
        self._took_s = 0.0
        self._longest_bytes = 0

    def opened(self, line: bytes, opens: Callable[[bytes], _T]) -> _T:
        """What `opens` makes of `line`, and what it raises."""
        begun_s = perf_counter()
        try:
            return opens(line)
        finally:
            self._took_s += perf_counter() - begun_s
            self._longest_bytes = max(self._longest_bytes, len(line))

    def since_last(self) -> tuple[float, int]:
        """Seconds, and the length of the longest record."""
        took_s, longest_bytes = self._took_s, self._longest_bytes
        self._took_s, self._longest_bytes = 0.0, 0
        return took_s, longest_bytes
