"""Who may execute a call: N places, and the law of starts.

    A call starts when its place and all that its target asks for are free at the same moment.
    A start takes them all; whoever waits for one of them holds none of the others. A place
    that becomes free goes to the oldest call that could start now, before a new record.

A door is what a target asks for (`interfaces.Door`); this file knows when to ask which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

from streamproc.interfaces import Door
from streamproc.waiting import WaitQueue


class CapacityLimiter:
    """`-j` bounds the calls that are executed, not the records that wait.

    `on_free` hears of a place that nobody waits for.
    """

    def __init__(self, count: int, on_free: Callable[[], None] = lambda: None) -> None:
        self.count = count
        self.free = count
        self._on_free = on_free
        self.wanting: list[tuple[int, int, Door]] = []  # doors with a call that lacks a place only
        self.is_closed = False
        self._asked = 0  # orders doors whose calls are of one age
        self._newcomers = WaitQueue()

    @property
    def taken(self) -> int:
        """Places in use."""
        return self.count - self.free

    def leave(self) -> None:
        """Give a place back: to the oldest call that could start, to a new record, or to nobody."""
        self.free += 1
        self.fill()
        if self.free:
            self._on_free()

    def close(self) -> None:
        """No call starts any more."""
        self.is_closed = True
        self.wanting.clear()

    def fill(self) -> None:
        """Hand out what is free."""
        wanting = self.wanting
        while self.free and wanting:
            _, _, door = heappop(wanting)
            self.free -= 1
            if not door.start_next():
                self.free += 1
        while self.free and (waiter := self._newcomers.head()) is not None:
            self._newcomers.leave(waiter)
            self.free -= 1
            waiter.turn.set_result(None)

    def want(self, age: int, door: Door) -> bool:
        """A call of this age could start at `door`: whether there is a place, which it has then.

        If not, `door.start_next` is called when one is free: it returns whether it took it.
        """
        if self.is_closed:
            return False
        if self.free:
            self.free -= 1
            return True
        self.queue(age, door)
        return False

    def queue(self, age: int, door: Door) -> None:
        """See `interfaces.Room`."""
        if not self.is_closed:
            self._asked += 1
            heappush(self.wanting, (age, self._asked, door))

    def enter_nowait(self) -> bool:
        """Take a place for a new record; False if others come first, or there is none."""
        if self.free == 0:
            return False
        self.free -= 1
        return True

    async def enter(self) -> None:
        """Take a place for a new record, after all who wait already."""
        if self.enter_nowait():
            return
        turn = asyncio.get_running_loop().create_future()
        waiter = self._newcomers.join(0, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._newcomers.leave(waiter)
            if turn.done() and not turn.cancelled():
                self.leave()
            raise
