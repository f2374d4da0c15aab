"""Records that somebody follows, among all others: these are done as if nobody did."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

from msgspec import structs

from streamproc.engines.program import Outcome, keep
from streamproc.engines.slot import Slot
from streamproc.interfaces import FOLLOWED, Follow, Follower
from streamproc.record import OK, UNPROCESSED, Batch, Note
from streamproc.types import Coro

Awaited = Callable[[Batch, int, Slot], Coro[Outcome]]
Inline = Callable[[Batch, int], Outcome]
Some = Callable[[Batch, int, int, list[bytes], dict[int, Note]], None]


class _Followed:
    """A record from its beginning to its end; without an `outcome` nothing became of it."""

    outcome: Outcome = Note(UNPROCESSED)


@contextmanager
def _following(follower: Follower) -> Iterator[_Followed]:
    record, token = _Followed(), FOLLOWED.set(follower)
    follower.begin()
    try:
        yield record
    finally:
        FOLLOWED.reset(token)
        outcome, context = record.outcome, follower.headers
        follower.end(outcome if isinstance(outcome, Note) else None)
        if context:
            record.outcome = _within(context, outcome)


def _within(context: bytes, outcome: Outcome) -> Outcome:
    """The same, and what it goes out in is part of that trace."""
    if isinstance(outcome, Note):
        return structs.replace(outcome, context=context)
    return Note(OK, outcome, lines_out=1, context=context)


def _chosen(batch: Batch, follow: Follow) -> Container[int]:
    """The lines of `batch` that may be followed: asked once, so that the others cost nothing."""
    if batch.followed is None:
        batch.followed = follow.choose(batch)
    return batch.followed


def awaited(one: Awaited, follow: Follow | None) -> Awaited:
    """As `one`, which finishes a line."""
    if follow is None:
        return one

    def begin(batch: Batch, i: int, slot: Slot) -> Coro[Outcome]:
        chosen = batch.followed  # as `_chosen`, without its frame
        if i not in (_chosen(batch, follow) if chosen is None else chosen):
            return one(batch, i, slot)
        follower = follow.follow(batch, i)
        work = one(batch, i, slot)
        return work if follower is None else _told(work, follower)

    return begin


async def _told(work: Coro[Outcome], follower: Follower) -> Outcome:
    with _following(follower) as record:
        record.outcome = await work
    return record.outcome


def inline(one: Inline, follow: Follow | None) -> Inline:
    """The same of a program that never waits."""
    if follow is None:
        return one

    def finish(batch: Batch, i: int) -> Outcome:
        is_chosen = i in _chosen(batch, follow)
        if not is_chosen or (follower := follow.follow(batch, i)) is None:
            return one(batch, i)
        with _following(follower) as record:
            record.outcome = one(batch, i)
        return record.outcome

    return finish


def inline_some(some: Some, one: Inline, follow: Follow | None) -> Some:
    """As `some`, which finishes lines at once; `one` does those that are followed."""
    if follow is None:
        return some

    def finish(
        batch: Batch, start: int, stop: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        chosen = _chosen(batch, follow)
        for i in range(start, stop):
            if i in chosen and (follower := follow.follow(batch, i)) is not None:
                some(batch, start, i, lines, notes)
                start = i + 1
                with _following(follower) as record:
                    record.outcome = one(batch, i)
                keep(record.outcome, i, lines, notes)
        some(batch, start, stop, lines, notes)

    return finish
