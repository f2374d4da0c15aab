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
        self._turns: list[tuple[asyncio.Future[bytes], Visit]] = []
        self._waiting = 0
        self._attempts = 0
        self._on_end = on_end

        async def job(own: Visit) -> None:
            try:
                written = await make(own)
            except BaseException as error:
                self._failed(error, own.attempts)
                raise
            self._end(own.attempts)
            for turn, waiting in self._turns:
                if not turn.done():
                    own.hand_over(waiting)
                    turn.set_result(written)

        self._fork: Fork = visit.fork(job)
        self._fork.answer.add_done_callback(self._left)

    def _end(self, attempts: int) -> None:
        """Whoever comes from now on begins another one."""
        self._attempts = attempts
        on_end, self._on_end = self._on_end, lambda: None
        on_end()

    def _failed(self, error: BaseException, attempts: int) -> None:
        self._end(attempts)
        if isinstance(error, CallError):
            error.attempts = attempts
        for turn, _ in self._turns:
            if turn.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                turn.cancel()
            else:
                turn.set_exception(error)

    def _left(self, answer: asyncio.Future[None]) -> None:
        """It was given up, by itself or by the engine, without having said so."""
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if error is not None:
            self._failed(error, self._attempts)

    async def joined(self, visit: Visit) -> bytes:
        turn: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._turns.append((turn, visit))
        self._waiting += 1
        try:
            written: bytes = await visit.wait_for_call(turn)
        finally:
            self._waiting -= 1
            visit.attempts = self._attempts
            if not self._waiting and not self._fork.answer.done():
                self._end(self._attempts)
                self._fork.cancel()
        return written
