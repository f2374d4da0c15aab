"""Lines that nobody expects, at any size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """`before + again * n + after`."""

    before: bytes
    again: bytes
    after: bytes

    def of(self, size: int) -> bytes:
        return self.before + self.again * (size // len(self.again)) + self.after


class Material(NamedTuple):
    """What lines of one language are made of."""

    opened: Sequence[bytes]
    pieces: Sequence[bytes]
    closed: Sequence[bytes]

    def any_line(self, dice: random.Random) -> Line:
        def some(least: int, most: int) -> bytes:
            pieces = dice.choices(self.pieces, k=dice.randint(least, most))
            return b"".join(piece * dice.choice((1, 1, 1, 2, 511)) for piece in pieces)

        opened, closed = dice.choice(self.opened), dice.choice(self.closed)
        again = b"".join(dice.choices(self.pieces, k=dice.randint(1, 3)))
        return Line(opened + some(0, 3), again, some(0, 2) + closed)
