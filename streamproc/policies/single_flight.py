"""Equal calls in flight are one call: `singleflight` of golang.org/x/sync.

The call runs in a task of the stage's own, not in the task of who came first: a caller that gives
up gives up only for itself, and the call ends when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from streamproc.codec import decode_any, decoded_bytes, encode
from streamproc.errors import CallError
from streamproc.interfaces import Call, Fork, Inner, Visit
from streamproc.record import NO_RESULT
from streamproc.threads import LONG_BYTES, aside
from streamproc.types import CallResult

Keep = Callable[[bytes, Call, bytes], None]


class Flights:
    """The calls in flight, by key. Answers are handed out as `answer_of` reads them.

    `inner` makes the calls, `keep` has what was answered.
    """

    def __init__(self, inner: Inner, keep: Keep) -> None:
        self.inner = inner
        self.keep = keep
        self.of_key: dict[bytes, _Flight] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self.of_key

    async def join(self, key: bytes, call: Call, visit: Visit) -> bytes:
        """The answer to `call`, which begins if none of that key is in flight.

        Raises what the call raises. Its attempts are everybody's.
        """
        flight = self.of_key.get(key)
        if flight is None:
            flight = self.of_key[key] = _Flight(self, key, call, visit)
            flight.fork = visit.fork(flight.fly, flight.failed)
            turn = flight.fork.answer  # nobody else waits for that one
        else:
            turn = flight.follow(visit)
        flight.waiting += 1
        try:
            written: bytes = await visit.wait_for_call(turn)
        except BaseException:
            flight.waiting -= 1
            if not flight.waiting:
                flight.give_up()
            raise
        finally:
            visit.attempts = flight.attempts
        return written


async def answer_of(written: bytes, visit: Visit) -> CallResult:
    """What a record gets that was answered with that, which it holds."""
    if not written:
        return NO_RESULT
    if len(written) > LONG_BYTES:
        if not visit.share.is_long:  # who had it called has it already
            await visit.share.reserve(decoded_bytes(written), is_long=True)
        return await aside(decode_any, written)
    return decode_any(written)


def _written(value: CallResult) -> bytes:
    return b"" if value is NO_RESULT else encode(value)


class _Flight(Struct, eq=False):
    """One call, and who waits for it: the first for its task, each follower for a future."""

    flights: Flights
    key: bytes
    call: Call
    first: Visit
    fork: Fork | None = None
    followers: list[tuple[asyncio.Future[bytes], Visit]] = []
    waiting: int = 0

    @property
    def attempts(self) -> int:
        """So far: who gives up may do so before it ends."""
        return 0 if self.fork is None else self.fork.attempts

    def follow(self, visit: Visit) -> asyncio.Future[bytes]:
        """One more waits for it. Returns the future that it gets the answer by."""
        assert self.fork is not None
        turn: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.followers.append((turn, visit))
        self.fork.serve(visit)
        return turn

    def give_up(self) -> None:
        """Nobody waits for it any more; it may have failed by itself."""
        if self._end() and self.fork is not None:
            self.fork.cancel()

    async def fly(self, own: Visit) -> bytes:
        """Make the call, for all who wait."""
        try:
            value = await self.flights.inner(self.call, own)
            written = await aside(_written, value) if own.share.is_long else _written(value)
            self.flights.keep(self.key, self.call, written)
        except BaseException as error:
            self.failed(error)
            raise
        self._end()
        if self.fork is not None and not self.fork.answer.done():
            own.hand_over(self.first)
        for turn, waiting in self.followers:
            if not turn.done():
                own.hand_over(waiting)
                turn.set_result(written)
        return written

    def _end(self) -> bool:
        """Whoever comes from now on begins another one. Whether it had not ended yet."""
        of_key = self.flights.of_key
        is_in_flight = of_key.get(self.key) is self
        if is_in_flight:
            del of_key[self.key]
        return is_in_flight

    def failed(self, error: BaseException) -> None:
        """Its task has ended, by itself or because it was given up."""
        self._end()
        if isinstance(error, CallError):
            error.attempts = self.attempts
        for turn, _ in self.followers:
            if turn.done():
                continue
            if isinstance(error, asyncio.CancelledError):
                turn.cancel()
            else:
                turn.set_exception(error)
