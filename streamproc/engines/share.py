"""What the record of one slot holds of the window's bytes, beyond its line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from streamproc.engines.headroom import Headroom
from streamproc.engines.state import CALLING, HELD, RUNNING

if TYPE_CHECKING:
    from streamproc.engines.slot import Slot
    from streamproc.interfaces import Share


class MemoryShare:
    """See `interfaces.Share`."""

    __slots__ = ("_headroom", "_held_at", "_kept_bytes", "_slot", "is_long", "n_bytes")

    def __init__(self, slot: Slot, headroom: Headroom) -> None:
        self._slot = slot
        self._headroom = headroom
        self.n_bytes = 0
        self.is_long = False
        self._kept_bytes = 0  # of these: stay held when the call that is made now fails
        self._held_at = (RUNNING, 0.0)  # what it was doing when it was held back, and since when

    def hold(self, n_bytes: int) -> None:
        """See `interfaces.Share`."""
        self.n_bytes += n_bytes
        self._headroom.memory.charge(n_bytes)

    def let_go(self, n_bytes: int) -> None:
        """See `interfaces.Share`."""
        self.n_bytes -= n_bytes
        self._headroom.memory.refund(n_bytes)

    def divide(self, others: Iterable[Share]) -> None:
        """See `interfaces.Share`."""
        if self.n_bytes:
            among = list(others)
            for each in among:
                each.hold(self.n_bytes // len(among))
                each.is_long |= self.is_long
            self.close()

    def keep(self) -> None:
        """What it holds now stays, whatever comes of the next call."""
        self._kept_bytes = self.n_bytes

    def let_go_of_call(self) -> None:
        """Nothing came of the call."""
        if self.n_bytes > self._kept_bytes:
            self.let_go(self.n_bytes - self._kept_bytes)

    def close(self) -> None:
        """The record is done; the next one may come."""
        if self.n_bytes:
            self.let_go(self.n_bytes)
            self._kept_bytes = 0
            self.is_long = False

    @property
    def has_room(self) -> bool:
        """See `interfaces.Share`."""
        return self._slot.state not in (RUNNING, CALLING) or not self._headroom.holds_back(
            self._slot
        )

    def wait(self, go_on: Callable[[], None]) -> None:
        """See `interfaces.Share`."""
        self._held_at = (self._slot.state, asyncio.get_running_loop().time())
        self._slot.state = HELD
        self._headroom.hold_back(self._slot, go_on)

    def go_on(self) -> None:
        """See `interfaces.Share`."""
        self._slot.state, since_s = self._held_at
        self._slot.begun_s += asyncio.get_running_loop().time() - since_s

    async def reserve(self, n_bytes: int, *, is_long: bool = False) -> None:
        """See `interfaces.Share`."""
        self.is_long |= is_long
        if self.has_room:
            self.hold(n_bytes)
            return
        turn = asyncio.get_running_loop().create_future()

        def take() -> None:
            if not turn.done():
                self.hold(n_bytes)  # before the next one looks
                turn.set_result(None)

        self.wait(take)
        await turn
