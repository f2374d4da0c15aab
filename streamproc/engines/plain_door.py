"""The door of calls that ask for a place and nothing else: stages without policies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamproc.interfaces import Room
from streamproc.waiting import WaitQueue

if TYPE_CHECKING:
    from streamproc.engines.slot import Slot


class PlainDoor:
    """See `interfaces.Door`. Only records that have been waiting for something come here."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._line = WaitQueue()
        self._is_wanting = False

    async def wait(self, slot: Slot) -> None:
        """Until `slot` has a place. Raises `Unfinished`."""
        turn = asyncio.get_running_loop().create_future()
        waiter = self._line.join(slot.age, turn, slot)
        self._look()
        try:
            await slot.wait(turn)
        except BaseException:
            self._line.leave(waiter)
            raise

    def start_next(self) -> bool:
        """See `interfaces.Door`."""
        self._is_wanting = False
        is_started = self._start()
        self._look()
        return is_started

    def _look(self) -> None:
        while not self._is_wanting and (waiter := self._line.head()) is not None:
            if self._room.want(waiter.age, self):
                self._start()
            else:
                self._is_wanting = True

    def _start(self) -> bool:
        waiter = self._line.head()
        if waiter is None:
            return False
        self._line.leave(waiter)
        waiter.what.granted()
        waiter.turn.set_result(None)
        return True
