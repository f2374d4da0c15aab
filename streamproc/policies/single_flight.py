"""Equal calls in flight are one call: `singleflight` of golang.org/x/sync.

The call runs in a task of the stage's own, not in the task of who came first: a caller that gives
up gives up only for itself, and the call ends when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streamproc.errors import CallError
from streamproc.interfaces import Visit

Make = Callable[[Visit], Awaitable[bytes]]


class Flights:
    """The calls in flight, by key. Answers are handed out as the bytes that are kept."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._flights

    async def join(self, key: bytes, visit: Visit, make: Make) -> bytes:
        """The answer to the call `key`, which `make` begins if it is not in flight.

        Raises what the call raises. Its attempts are everybody's.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self._flights, key, visit, make)
            turn = flight.fork.answer  # nobody else waits for that one
        else:
            turn = flight.follow(visit)
        flight.waiting += 1
        try:
            written: bytes = await visit.wait_for_call(turn)
        finally:
            flight.waiting -= 1
            visit.attempts = flight.attempts
            if not flight.waiting:
                flight.give_up()
        return written


class _Flight:
    """One call, and who waits for it: the first for its task, each follower for a future."""

    __slots__ = ("_first", "_flights", "_followers", "_key", "_make", "attempts", "fork", "waiting")

    def __init__(self, flights: dict[bytes, _Flight], key: bytes, first: Visit, make: Make) -> None:
        self._flights = flights
        self._key = key
        self._first = first
        self._make = make
        self._followers: list[tuple[asyncio.Future[bytes], Visit]] = []
        self.attempts = 0
        self.waiting = 0
        self.fork = first.fork(self._fly, self._failed)

    def follow(self, visit: Visit) -> asyncio.Future[bytes]:
        """One more waits for it. Returns the future that it gets the answer by."""
        turn: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._followers.append((turn, visit))
        self.fork.serve(visit)
        return turn

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        if self._end():
            self.fork.cancel()

    async def _fly(self, own: Visit) -> bytes:
        try:
            written = await self._make(own)
        except BaseException as error:
            self.attempts = own.attempts
            self._failed(error)
            raise
        self.attempts = own.attempts
        self._end()
        if not self.fork.answer.done():
            own.hand_over(self._first)
        for turn, waiting in self._followers:
            if not turn.done():
                own.hand_over(waiting)
                turn.set_result(written)
        return written

    def _end(self) -> bool:
        """Whoever comes from now on begins another one. Whether it had not ended yet."""
        is_in_flight = self._flights.get(self._key) is self
        if is_in_flight:
            del self._flights[self._key]
        return is_in_flight

    def _failed(self, error: BaseException) -> None:
        """Its task has ended, by itself or because it was given up."""
        self._end()
        if isinstance(error, CallError):
            error.attempts = self.attempts
        for turn, _ in self._followers:
            if turn.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                turn.cancel()
            else:
                turn.set_exception(error)
