"""Waiting, written once: the oldest goes first, and who leaves is not waited for.

`Turns` are for tasks of which any can use a wake-up: each goes to one that still waits. A
`WaitQueue` holds those who wait for something that they cannot take alone. Whoever has it to give
looks at the `head`, takes it out and resolves its turn: what was promised to a turn belongs to
the waiter from that moment on, also when it is cancelled before its task runs again.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Iterator
from typing import Any


class Turns:
    """First come, first served; no wake-up is lost."""

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait, at most: those that left are forgotten with the next wake-up."""
        return len(self._turns)

    async def wait(self) -> None:
        """Until woken. Who is cancelled at that moment hands the wake-up on."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.wake()
            raise

    def wake(self, count: int = 1) -> None:
        """Wake as many of those that wait."""
        turns = self._turns
        while count and turns:
            turn = turns.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1


Turn = asyncio.Future[Any]
"""Done when the wait is over; with what, is between the giver and who waits."""


class Waiter:
    """One who waits. `age` orders the line, the smallest first; `what` is for the giver."""

    __slots__ = ("age", "turn", "what")

    def __init__(self, age: int, turn: Turn, what: Any = None) -> None:  # whatever the giver likes
        self.age = age
        self.turn = turn
        self.what = what

    def __lt__(self, other: Waiter) -> bool:
        return self.age < other.age


class WaitQueue:
    """Those who wait, by age; equal ages in the order in which they came."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def __len__(self) -> int:
        self._drop_gone()
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Those whose turn is open."""
        return (each for each in self._waiters if not each.turn.done())

    def join(self, age: int, turn: Turn, what: object = None) -> Waiter:
        """Wait, behind all who are as old or older."""
        waiter = Waiter(age, turn, what)
        insort(self._waiters, waiter)
        return waiter

    def head(self) -> Waiter | None:
        """Who has waited longest, None if nobody waits."""
        self._drop_gone()
        return self._waiters[0] if self._waiters else None

    def leave(self, waiter: Waiter) -> None:
        """It waits no more, for whatever reason; it may have left before."""
        if self._waiters and self._waiters[0] is waiter:
            del self._waiters[0]
            return
        for k, each in enumerate(self._waiters):
            if each is waiter:
                del self._waiters[k]
                return

    def _drop_gone(self) -> None:
        waiters = self._waiters
        gone = 0
        while gone < len(waiters) and waiters[gone].turn.done():
            gone += 1
        if gone:
            del waiters[:gone]


def resolve(future: asyncio.Future[None] | None) -> None:
    """Wake who waits for it, if there is somebody and nobody has."""
    if future is not None and not future.done():
        future.set_result(None)
