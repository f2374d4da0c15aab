"""Which records of the input are wanted: some are passed over, and after some nothing is read."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from random import Random

from streamproc.record import WHITESPACE


class Selection:
    """The records after the first `skip`, of these a sample, and of the sample `limit`.

    `sample` from 1 on takes the first of every so many records; below 1 it is the share of
    those that are taken at random, the same ones for the same `seed`. What is chosen depends
    on a record's number alone, so that a run that goes on chooses as one in one go.
    """

    def __init__(
        self, *, skip: int = 0, sample: float = 1, seed: int = 0, limit: int | None = None
    ) -> None:
        self._step = int(sample) if sample >= 1 else 0
        self._log = 0.0 if self._step else log1p(-sample)
        self._random = Random(seed)
        self._left = limit
        self._at = 0  # number of the next record
        self._next = skip + self._gap()  # number of the next one that is chosen

    @property
    def is_full(self) -> bool:
        """Whether no more records are wanted."""
        return self._left == 0

    def advance(self, records: int) -> int:
        """An earlier run has been through so many; returns how many of them it chose."""
        chosen = 0
        while self._next < records and not self.is_full:
            count = 1
            if self._step:
                count = (records - self._next + self._step - 1) // self._step
                count = count if self._left is None else min(count, self._left)
            self._choose(count)
            chosen += count
        self._at = records
        return chosen

    def passed(self, lines: Sequence[bytes]) -> bytes:
        """Of each of the next lines whether it is passed over (1) or not (0).

        Lines after these, if it is fewer, are not wanted. Blank lines are no records, and are
        not passed over.
        """
        marks = bytearray(len(lines))
        at, next_ = self._at, self._next
        for i, line in enumerate(lines):
            if not line.strip(WHITESPACE):
                continue
            if at == next_:
                self._choose(1)
                next_ = self._next
                if self.is_full:
                    del marks[i + 1 :]
                    break
            else:
                marks[i] = 1
            at += 1
        self._at = at
        return bytes(marks)

    def _choose(self, count: int) -> None:
        self._next += self._step * count if self._step else 1 + self._gap()
        if self._left is not None:
            self._left -= count

    def _gap(self) -> int:
        """How many are passed over before the next random one: one draw for each that is taken."""
        return 0 if self._step else int(log(1.0 - self._random.random()) / self._log)
