"""Answers that were had before, and equal calls in flight as one call (`single_flight`)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from msgspec import Meta

from streamproc.errors import CallError, DecodeError, UnreadableError
from streamproc.interfaces import Call, Inner, Layer, Policy, Site, Visit
from streamproc.types import CallResult
from streamproc.units import ByteSize, FileName, Seconds
from streamproc.wall_clock import wall_clock

if TYPE_CHECKING:
    from streamproc.policies.store import Store

_LIMITS = 10_000, 64 << 20
_FILE_LIMITS = 1_000_000, 1 << 30
_DAMAGED = DecodeError, UnreadableError  # what was read from a file that somebody has written into
_JITTER = 0.1  # of the time to live: what was cached together does not expire together


class Cache(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps good answers for `ttl`, and the word that there is none (404) for `negative_ttl`.

    The least recently used go, beyond `max_entries` (10 000; 1 000 000 with `path`) or
    `max_bytes` (64 MiB; 1 GiB); with `path` they are in a SQLite file. `stale_if_error`: rather
    an old answer, flagged `_stale`, than none. `share`: who gets an answer, those who asked
    with the same credential, or those whose credential has the same name.
    """

    shorthand: ClassVar[str] = "ttl"
    asks_again: ClassVar[bool] = True

    ttl: Seconds = cast("Seconds", 3600.0)
    negative_ttl: Seconds = cast("Seconds", 60.0)
    max_entries: Annotated[int, Meta(ge=1)] | None = None
    max_bytes: ByteSize | None = None
    path: FileName | None = None
    stale_if_error: bool = False
    share: Literal["credential", "credential-name"] = "credential"

    def files_written(self) -> Iterable[tuple[str, str]]:
        """See `Recipe`."""
        if self.path is not None:
            yield "the cache", self.path
            yield "the key of the cache", f"{self.path}.key"

    @property
    def keeps_answers(self) -> bool:
        """See `Policy`: they are in a file."""
        return self.path is not None

    def opened(self, site: Site) -> AbstractAsyncContextManager[Layer]:
        """The layer with its store."""
        return Caching(self)

    def store(self) -> Store:
        """The store that these settings mean, not opened yet."""
        from streamproc.policies.sqlite_store import SqliteStore
        from streamproc.policies.store import MemoryStore

        entries, size = _LIMITS if self.path is None else _FILE_LIMITS
        most = {
            "max_entries": self.max_entries or entries,
            "max_bytes": size if self.max_bytes is None else self.max_bytes,
        }
        if self.path is not None:
            return SqliteStore(self.path, **most, keeps_expired=self.stale_if_error)
        return MemoryStore(**most)


class Caching:
    """The layer: a cache's settings with its store, which is entered and left."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._store = cache.store()

    async def __aenter__(self) -> Self:
        self._store.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store.close()

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.single_flight import Flights, answer_of

        observer, store, now_s = site.observer, self._store, wall_clock()

        def keep(key: bytes, call: Call, written: bytes) -> None:
            ttl_s = self._cache.negative_ttl if call.is_negative else self._cache.ttl
            store.put(key, (written, now_s() + _jittered(ttl_s)))

        flights = Flights(inner, keep)

        async def cached(call: Call, visit: Visit) -> CallResult:
            key = store.key(call.key())
            kept = store.get(key)
            if kept is not None and kept[1] > now_s():
                with suppress(*_DAMAGED):  # ask again
                    answer = await answer_of(kept[0], visit)
                    observer.cached()
                    return answer
            is_stale = kept is not None and self._cache.stale_if_error
            call.standing.is_patient = not is_stale
            if key in flights:
                observer.coalesced()
            else:
                observer.missed()
            try:
                return await answer_of(await flights.join(key, call, visit), visit)
            except (CallError, asyncio.CancelledError) as error:  # cancelled by its deadline, too
                if kept is None or not is_stale:
                    raise
                if not isinstance(visit.end_failed(error), CallError):
                    raise
                with suppress(*_DAMAGED):
                    return _flagged(await answer_of(kept[0], visit))
                raise

        return cached


def _jittered(ttl_s: float) -> float:
    return ttl_s * (1 - _JITTER + 2 * _JITTER * random.random())


def _flagged(value: CallResult) -> CallResult:
    return value | {"_stale": True} if isinstance(value, dict) else value
