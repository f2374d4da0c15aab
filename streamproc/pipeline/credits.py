"""One window of credits over queue, flight and reorder buffer together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streamproc.memory import COPIES, Memory

_LANE_SHARE = 4


class CreditLimit:
    """Bounds the lines admitted to stages and not yet written.

    A reorder buffer behind a stuck head would grow without end if flight were bounded
    alone; with one window over everything a slow head stalls reading instead. `on_room` hears of
    credits that came back.
    """

    def __init__(
        self, records: int, n_bytes: int, on_room: Callable[[], None] = lambda: None
    ) -> None:
        self.limit_records = records
        self.limit_bytes = n_bytes
        self.used_records = 0
        self.used_bytes = 0  # of lines
        self.memory = Memory(n_bytes * COPIES)  # what is held beyond them
        self.memory.on_room.append(self._wake)
        self._admitted_records = 0
        self._admitted_bytes = 0
        self._room: asyncio.Future[None] | None = None
        self._of_lane: dict[int, int] = {}
        self._on_room = on_room

    def resize(self, records: int, n_bytes: int) -> None:
        """Other bounds; what is admitted stays."""
        self.limit_records = records
        self.limit_bytes = n_bytes
        self.memory.resize(n_bytes * COPIES)
        self._wake()

    @property
    def written_bytes(self) -> int:
        """Bytes of lines whose credits came back; all lines count as long as the mean one."""
        written = self._admitted_records - self.used_records
        return self._admitted_bytes * written // max(1, self._admitted_records)

    async def reserve(self, records: int, n_bytes: int) -> int:
        """Wait for room; returns how many of `records` lines may be admitted now.

        A quarter of the window is waited for at most: to admit single lines as single
        credits come back would cost a queue operation each.
        """
        while not self.has_room(records, n_bytes):
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        return min(records, self.limit_records - self.used_records)

    def has_room(self, records: int, n_bytes: int) -> bool:
        """Whether `reserve` would not wait."""
        enough = min(records, max(1, self.limit_records // 4))
        return not self.used_records or (
            self.limit_records - self.used_records >= enough
            and self.limit_bytes - self.used_bytes - self.memory.held_bytes >= n_bytes
        )

    def is_open(self, lane: int) -> bool:
        """Whether there is room for more of `lane`: none of many takes more than a quarter."""
        most = self.limit_records // _LANE_SHARE
        return len(self._of_lane) < 2 or self._of_lane.get(lane, 0) < most

    def admit(self, records: int, n_bytes: int, lane: int = 0) -> None:
        """Take credits."""
        self.used_records += records
        self.used_bytes += n_bytes
        self._admitted_records += records
        self._admitted_bytes += n_bytes
        self._of_lane[lane] = self._of_lane.get(lane, 0) + records

    def release(self, records: int, n_bytes: int, lane: int = 0) -> None:
        """Give credits back; only after write and flush."""
        self.used_records -= records
        self.used_bytes -= n_bytes
        self._of_lane[lane] -= records
        self._on_room()
        self._wake()

    def _wake(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
