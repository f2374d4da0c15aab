"""How many records may go by before the loop gets its turn."""

from __future__ import annotations

TURN_S = 0.005  # what a turn of the loop should take: reading, writing and signals wait for it
STALL_S = 0.02  # a call this long held up lines that were already finished
STALL_SHARE_S = 100e-6  # a stall of s seconds is paid off by s / STALL_SHARE_S single steps
MOST = 1024


class Pace:
    """Doubles while turns are short, shrinks when they are long.

    Finished lines wait for the writer until the turn ends, so after a stall every
    record gets a turn of its own for a while: the price, a loop turn per record, stays
    a small share of the time that the stall itself took.
    """

    __slots__ = ("_careful", "size")

    def __init__(self) -> None:
        self.size = 1
        self._careful = 0  # how many single steps are left

    @property
    def is_careful(self) -> bool:
        """Whether it is paying off a stall: then each record is a turn to be told of."""
        return self._careful > 0

    def measured(self, records: int, elapsed_s: float) -> None:
        """A turn of `records` records took `elapsed_s`."""
        if records > 1 and elapsed_s > STALL_S:
            self._careful = int(elapsed_s / STALL_SHARE_S)
        if self._careful > 0:
            self._careful -= 1
            self.size = 1
        elif elapsed_s > TURN_S:
            self.size = max(1, int(self.size * TURN_S / elapsed_s))
        elif elapsed_s < TURN_S / 2 and records >= self.size:
            self.size = min(MOST, self.size * 2)
