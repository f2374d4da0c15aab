"""All who follow records, as one. Who fails follows no more, and the record knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from streamproc.interfaces import Follow, Follower
from streamproc.record import Batch, Note

Fail = Callable[[str, Exception], None]
"""Who failed, and of what."""


class Followers:
    """Asks each of those who `join` under a name; `fail` hears of one that raised."""

    def __init__(self, fail: Fail) -> None:
        self._fail = fail
        self._follows: dict[str, Follow] = {}

    def join(self, name: str, follow: Follow) -> None:
        """One more."""
        self._follows[name] = follow

    def leave(self, name: str) -> None:
        """It follows no more records; those that it does it hears of to their end."""
        self._follows.pop(name, None)

    def __call__(self, batch: Batch, i: int) -> Follower | None:
        """See `Follow`."""
        found: dict[str, Follower] | None = None
        for name, follow in self._follows.items():
            try:
                follower = follow(batch, i)
            except Exception as error:
                self._fail(name, error)
                break  # it has left: the others follow the next one again
            if follower is not None:
                found = found or {}
                found[name] = follower
        return None if found is None else _Together(found, self._fail)


class _Together:
    """Those who follow one record. See `Follower`."""

    def __init__(self, followers: dict[str, Follower], fail: Fail) -> None:
        self._followers = followers
        self._fail = fail

    @property
    def headers(self) -> bytes:
        return b"".join(self._each(lambda follower: follower.headers))

    def begin(self) -> None:
        self._each(lambda follower: follower.begin())

    def tell(self, event: Struct) -> None:
        self._each(lambda follower: follower.tell(event))

    def end(self, note: Note | None) -> None:
        self._each(lambda follower: follower.end(note))

    def _each(self, call: Callable[[Follower], Any]) -> list[Any]:
        answers = []
        for name, follower in list(self._followers.items()):
            try:
                answers.append(call(follower))
            except Exception as error:
                del self._followers[name]
                self._fail(name, error)
        return answers
