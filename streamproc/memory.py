"""What records hold beyond their lines: answers as they come in, and results not yet written."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

COPIES = 3  # of what is held, at worst: as it came, decoded or joined, and as it goes
MAX_BYTES = 192 << 20
SMALL_BYTES = 1 << 10  # of a result: what as many as a window has may hold without being counted
LARGE_BYTES = 64 << 10  # of a line or a body: the same for as many as are executed at once


class Hold(IntEnum):
    """Who waits although there is room here: there is none elsewhere."""

    NONE = 0
    ALL_BUT_OLDEST = 1
    ALL = 2


class Memory:
    """An account with a limit, which may be exceeded: whoever adds to it looks at `is_short` first.

    `leaving_bytes` of it are being written, and come back whatever else happens. `on_room` hear
    of every refund.
    """

    __slots__ = ("_hold", "held_bytes", "leaving_bytes", "limit_bytes", "on_room", "room_bytes")

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` bound all copies of what is held."""
        self._hold = Hold.NONE
        self.held_bytes = 0
        self.leaving_bytes = 0
        self.on_room: list[Callable[[], None]] = []
        self.resize(max_bytes)

    def resize(self, max_bytes: int) -> None:
        """Another limit."""
        self.limit_bytes = max_bytes // COPIES
        self.hold(self._hold)

    @property
    def is_short(self) -> bool:
        """Whether nothing should be begun that adds to it, apart from what empties it."""
        return self.held_bytes >= self.room_bytes

    @property
    def holds_all(self) -> bool:
        """Whether it is short, and there will be room without anything being begun or ended."""
        return self.is_short and (self.leaving_bytes > 0 or self._hold is Hold.ALL)

    def hold(self, hold: Hold) -> None:
        """From here on, whatever there is room for."""
        self._hold = hold
        self.room_bytes = self.limit_bytes if hold is Hold.NONE else 0
        self._tell()

    def charge(self, n_bytes: int) -> None:
        """So many more are held."""
        self.held_bytes += n_bytes

    def leave(self, n_bytes: int) -> None:
        """So many of those that are held are being written."""
        self.leaving_bytes += n_bytes

    def written(self, n_bytes: int) -> None:
        """So many of those that were leaving are held no more."""
        self.leaving_bytes -= n_bytes
        self.refund(n_bytes)

    def refund(self, n_bytes: int) -> None:
        """So many are held no more."""
        self.held_bytes -= n_bytes
        self._tell()

    def _tell(self) -> None:
        for hear in self.on_room:
            hear()
