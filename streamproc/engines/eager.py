"""Coroutines that are begun at once, in the task that is at work, to be awaited if they wait."""

from __future__ import annotations

from collections.abc import Callable, Generator

from streamproc.types import CallResult, Coro, Record

MOST = 64  # records at once: what they decode to stays in the cache
SINGLE = 64  # after a call that waited: so seldom, trying again costs nothing that can be measured


class Suspended:
    """A coroutine that was begun and waits; awaited, it goes on. Only the task that began it may.

    It has seen that task as its own already, for a time limit of `asyncio.timeout`, say.
    """

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coro[CallResult], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[object, None, CallResult]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as raised:
                error = raised
            else:
                return (yield from self._coroutine.__await__())
            try:
                waits_for = self._coroutine.throw(error)
            except StopIteration as returned:
                return returned.value


def begin(coroutine: Coro[CallResult]) -> Suspended | None:
    """As far as it comes without waiting; None if that is its end. Raises what it raises."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return Suspended(coroutine, waits_for)


async def in_a_row(
    call: Callable[[Record], CallResult], records: list[Record], values: list[CallResult]
) -> CallResult:
    """Call with one after the other, and append what comes back; returns the last of it.

    While it waits, record number `len(values)` is the one; those after it may be taken out.
    """
    value = None
    for record in records:
        value = await call(record)
        values.append(value)
    return value


class RowLength:
    """How many calls are begun in a row: more as long as none waits, then one by one for a while.

    What was decoded for a row that stops early is decoded again.
    """

    __slots__ = ("_left", "_size")

    def __init__(self) -> None:
        self._size = 2
        self._left = 0  # how many are to be awaited one by one

    def next(self, most: int) -> int:
        """What the next one is to be, if there may be so many."""
        if not self._left:
            return self._size if self._size < most else max(1, most)
        self._left -= 1
        return 1

    def ended(self) -> None:
        """None of its calls waited."""
        self._size = min(2 * self._size, MOST)

    def stopped(self) -> None:
        """One did, or could not be begun with others."""
        self._size, self._left = 2, SINGLE
