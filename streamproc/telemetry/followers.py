"""Those who follow records, as one. Who fails follows no more, and no record knows of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TypeVar

from msgspec import Struct

from streamproc.interfaces import Follow, Follower
from streamproc.record import Batch, Note

T = TypeVar("T")


class GuardedFollow:
    """As `one`, and nothing is raised: `fail` hears what was, once. Then `is_over`."""

    def __init__(self, one: Follow, fail: Callable[[Exception], None]) -> None:
        self._one = one
        self._fail = fail
        self.is_over = False

    def choose(self, batch: Batch) -> Container[int]:
        """See `Follow`."""
        if not self.is_over:
            try:
                return self._one.choose(batch)
            except Exception as error:
                self.failed(error)
        return ()

    def follow(self, batch: Batch, i: int) -> Follower | None:
        """See `Follow`."""
        if self.is_over:
            return None
        try:
            follower = self._one.follow(batch, i)
        except Exception as error:
            self.failed(error)
            return None
        return None if follower is None else _Guarded(follower, self)

    def stop(self) -> None:
        """It follows no more."""
        self.is_over = True

    def failed(self, error: Exception) -> None:
        """It raised that."""
        self.is_over = True
        self._fail(error)


def together(follows: Sequence[Follow]) -> Follow | None:
    """All of them, as one: there is one most of the time."""
    return _All(follows) if len(follows) > 1 else next(iter(follows), None)


class _All:
    """See `Follow`."""

    def __init__(self, follows: Sequence[Follow]) -> None:
        self._follows = follows

    def choose(self, batch: Batch) -> Container[int]:
        return _Chosen([(each, each.choose(batch)) for each in self._follows])

    def follow(self, batch: Batch, i: int) -> Follower | None:
        assert isinstance(batch.followed, _Chosen)
        asked = [each for each, lines in batch.followed.by_each if i in lines]
        found = [each for one in asked if (each := one.follow(batch, i)) is not None]
        return _Together(found) if found else None


class _Chosen(Struct, frozen=True):
    """The lines of which at least one of several is to be asked."""

    by_each: list[tuple[Follow, Container[int]]]

    def __contains__(self, i: object) -> bool:
        return any(i in lines for _, lines in self.by_each)


class _Guarded:
    """See `Follower`. Of one who has failed nothing is asked."""

    def __init__(self, follower: Follower, guard: GuardedFollow) -> None:
        self._follower = follower
        self._guard = guard

    @property
    def headers(self) -> bytes:
        said: bytes | None = self._try(lambda follower: follower.headers)
        return said or b""

    def begin(self) -> None:
        self._try(lambda follower: follower.begin())

    def tell(self, event: Struct) -> None:
        self._try(lambda follower: follower.tell(event))

    def end(self, note: Note | None) -> None:
        self._try(lambda follower: follower.end(note))

    def _try(self, call: Callable[[Follower], T]) -> T | None:
        if not self._guard.is_over:
            try:
                return call(self._follower)
            except Exception as error:
                self._guard.failed(error)
        return None


class _Together:
    """Those who follow one record. See `Follower`."""

    def __init__(self, followers: list[Follower]) -> None:
        self._followers = followers

    @property
    def headers(self) -> bytes:
        return b"".join(follower.headers for follower in self._followers)

    def begin(self) -> None:
        for follower in self._followers:
            follower.begin()

    def tell(self, event: Struct) -> None:
        for follower in self._followers:
            follower.tell(event)

    def end(self, note: Note | None) -> None:
        for follower in self._followers:
            follower.end(note)
