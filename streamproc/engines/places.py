"""Who may execute a call: N places, lent on by records that only wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Places:
    """`-j` bounds the records that execute a call, not those that wait.

    A consumer holds a place while it works. Where it only waits (for a batch to fill,
    a back-off, a rate), it leaves its place, and another consumer goes on. Places come
    back first in, first out.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.on_lent: Callable[[], None] = lambda: None

    @property
    def taken(self) -> int:
        """Places in use."""
        return self.count - self._free

    def leave(self) -> None:
        """Give the place to whoever waits longest, or keep it free."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Inside, a record waits and somebody else has its place."""
        self.leave()
        self.on_lent()
        try:
            yield
        finally:
            await self.enter()

    def enter_nowait(self) -> bool:
        """Take a free place; False if there is none."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def enter(self) -> None:
        """Take a place, waiting for it if need be."""
        if self.enter_nowait():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.leave()
            raise
