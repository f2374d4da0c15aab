"""Who waits while records hold as much memory as they may, and who does not.

    The oldest record under way always goes on, so that some record always gets done; a new one
    is begun when there is room, or when no other one is at work. What is being written makes
    room without anybody: then all wait.

A record that waits for its turn, or for a call beside it, is not under way: what it waits for may
belong to a younger one, which must not be held back for its sake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING

from streamproc.engines.state import ABANDONED, CALLING, ENDING, HELD, IDLE, RESTING, RUNNING
from streamproc.memory import Memory
from streamproc.waiting import Turns

if TYPE_CHECKING:
    from streamproc.engines.slot import Slot

_TICK_S = 0.02  # while somebody waits: who is the oldest changes without a word
_UNDER_WAY = (RUNNING, CALLING, ENDING, HELD, RESTING)


class Headroom:
    """See the module. `slots` are those of all tasks."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self.memory = Memory()
        self._slots = slots
        self._soon: asyncio.Handle | None = None
        self._held: dict[Slot, Callable[[], None]] = {}
        self._newcomers = Turns()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, memory: Memory) -> None:
        """Count on `memory` from here on."""
        self.memory = memory
        memory.on_room.append(self._look_soon)

    def holds_back(self, slot: Slot) -> bool:
        """Whether the record of `slot` should take in nothing more now."""
        memory = self.memory
        return memory.is_short and (memory.holds_all or slot.age > self._oldest())

    def hold_back(self, slot: Slot, go_on: Callable[[], None]) -> None:
        """Call `go_on` when it may, if `slot` is still held then."""
        self._held[slot] = go_on
        self._set_timer()

    def holds_back_new(self) -> bool:
        """Whether a new record should not be begun now."""
        memory = self.memory
        return memory.is_short and (
            memory.holds_all or any(slot.state not in (IDLE, ABANDONED) for slot in self._slots)
        )

    async def wait_for_turn(self) -> None:
        """Until a new record may be begun, or it is time to look again."""
        self._set_timer()
        await self._newcomers.wait()

    def close(self) -> None:
        """Nobody waits any more."""
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    def _look_soon(self) -> None:
        if self._soon is None and (self._held or self._newcomers):
            self._soon = asyncio.get_running_loop().call_soon(self._look)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._look()

    def _look(self) -> None:
        self._soon = None
        for slot in sorted(self._held, key=lambda slot: slot.age):
            if slot.state is not HELD:
                del self._held[slot]  # its call ended otherwise
            elif self.holds_back(slot):
                break  # and all who are younger
            else:
                go_on = self._held.pop(slot)
                slot.share.go_on()
                go_on()
        while self._newcomers and not self.holds_back_new():
            self._newcomers.wake()
            if self.memory.is_short:
                break  # one, as nobody is at work
        if self._held or self._newcomers:
            self._set_timer()

    def _oldest(self) -> float:
        return min((slot.age for slot in self._slots if slot.state in _UNDER_WAY), default=inf)
