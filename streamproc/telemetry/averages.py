"""How fast something goes: averages over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_OVER_S = 10.0
_ETA_AFTER_S = 3.0  # before that nothing is known about the rest


class Position(NamedTuple):
    """How far it is: records (or calls), and bytes of the input that they came from."""

    at_s: float
    records: int
    n_bytes: int


class Averages:
    """Over the last 10 s."""

    def __init__(self, start: Position) -> None:
        self._past = deque([start])

    def add(self, now: Position) -> None:
        """`now` is the last one."""
        self._past.append(now)
        while len(self._past) > 2 and self._past[1].at_s <= now.at_s - _OVER_S:
            self._past.popleft()

    @property
    def per_second(self) -> float:
        """Records."""
        first, last = self._past[0], self._past[-1]
        return (last.records - first.records) / max(last.at_s - first.at_s, 1e-6)

    def left_s(self, left_bytes: int) -> float | None:
        """Until `left_bytes` more are done, None if that would be a guess."""
        first, last = self._past[0], self._past[-1]
        seconds, done = last.at_s - first.at_s, last.n_bytes - first.n_bytes
        return left_bytes * seconds / done if seconds >= _ETA_AFTER_S and done else None
