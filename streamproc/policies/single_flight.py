"""Equal calls in flight are one call (golang.org/x/sync calls it so).

The call runs in a task of the stage's own, not in the task of who came first: a caller that gives
up gives up only for itself, and the call ends when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streamproc.errors import CallError
from streamproc.interfaces import Fork, Visit

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
            flight = self._flights[key] = _Flight(visit, make, lambda: self._flights.pop(key, None))
        return await flight.joined(visit)


class _Flight:
    def __init__(self, visit: Visit, make: Make, on_end: Callable[[], object]) -> None:
        self._waiting = 0
        self._attempts = 0
        self._on_end = on_end

        async def job(own: Visit) -> bytes:
            try:
                return await make(own)
            finally:
                self._attempts = own.attempts
                self._end()

        self._fork: Fork = visit.fork(job)

    def _end(self) -> None:
        """Whoever comes from now on begins another one."""
        on_end, self._on_end = self._on_end, lambda: None
        on_end()

    async def joined(self, visit: Visit) -> bytes:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer = self._fork.answer

        def landed(_: object) -> None:
            if not turn.done():
                turn.set_result(None)

        answer.add_done_callback(landed)
        self._waiting += 1
        try:
            await visit.wait_for_call(turn)
        finally:
            self._waiting -= 1
            if not self._waiting and not answer.done():
                self._end()
                self._fork.cancel()
        visit.attempts = self._attempts
        try:
            written: bytes = answer.result()
        except CallError as error:
            error.attempts = self._attempts
            raise
        return written
