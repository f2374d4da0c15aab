"""Answers that were had before, and equal calls in flight as one call.

Single-flight is what golang.org/x/sync calls so. The call of a flight runs in the task of
who came first. When that record's deadline comes, it fails, and the task stays with the
call as long as others wait for it: a caller that gives up gives up only for itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from msgspec import Meta, Struct

from streamproc.codec import decode_any, encode
from streamproc.errors import CallError
from streamproc.interfaces import Inner, Site, Visit
from streamproc.policies.store import Kept, MemoryStore, SqliteStore, Store
from streamproc.record import NOTHING
from streamproc.units import ByteSize, Seconds

_LIMITS = 10_000, 64 << 20
_FILE_LIMITS = 1_000_000, 1 << 30
_JITTER = 0.1  # of the time to live: what was cached together does not expire together


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps good answers for `ttl`, and the word that there is none (404) for `negative_ttl`.

    The least recently used go, beyond `max_entries` (10 000; 1 000 000 with `path`) or
    `max_bytes` (64 MiB; 1 GiB); with `path` they are in a SQLite file. `stale_if_error`: rather
    an old answer, flagged `_stale`, than none. `share`: who gets an answer, those who asked
    with the same credential, or those whose credential has the same name.
    """

    shorthand: ClassVar[str] = "ttl"

    ttl: Seconds = cast("Seconds", 3600.0)
    negative_ttl: Seconds = cast("Seconds", 60.0)
    max_entries: Annotated[int, Meta(ge=1)] | None = None
    max_bytes: ByteSize | None = None
    path: str | None = None
    stale_if_error: bool = False
    share: Literal["credential", "credential-name"] = "credential"

    def store(self) -> Store:
        """The store that these settings mean, not opened yet."""
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
        counts, store = site.counts, self._store
        flights: dict[bytes, _Flight] = {}

        async def led(key: bytes, call: Any, visit: Visit) -> Any:
            visit.leads = flight = flights[key] = _Flight()
            try:
                value = await inner(call, visit)
                self._keep(key, value, is_negative=call.is_negative)
            except BaseException as error:
                flight.failed(error, visit.attempts)
                raise
            finally:
                visit.leads = None
                del flights[key]
            if flight.turns:
                flight.landed(value)
            return value

        def cached(call: Any, visit: Visit) -> Awaitable[Any]:
            key = store.key(call.key())
            kept = store.get(key)
            if kept is None and key not in flights:
                return led(key, call, visit)
            return known(key, kept, call, visit)

        async def known(key: bytes, kept: Kept | None, call: Any, visit: Visit) -> Any:
            while True:
                if kept is not None and kept[1] > time.time():
                    counts.cache_hits += 1
                    return _decoded(kept[0])
                flight = flights.get(key)
                try:
                    if flight is None:
                        return await led(key, call, visit)
                    counts.coalesced += 1
                    written = await flight.joined(visit)
                except CallError:
                    if kept is not None and self._cache.stale_if_error:
                        return _flagged(_decoded(kept[0]))
                    raise
                if written is not None:
                    return _decoded(written)
                kept = store.get(key)  # its caller was cancelled; somebody else leads now

        return cached

    def _keep(self, key: bytes, value: Any, *, is_negative: bool) -> None:
        ttl_s = self._cache.negative_ttl if is_negative else self._cache.ttl
        kept_s = ttl_s * (1 - _JITTER + 2 * _JITTER * random.random())
        written = b"" if value is NOTHING else encode(value)
        self._store.put(key, (written, time.time() + kept_s))


class _Flight(Struct):
    """One call in flight, in the task of who came first, and those who wait for it.

    The engine lets that task go on when its record cannot wait any longer and
    `is_wanted` says that others do.
    """

    turns: tuple[asyncio.Future[bytes | None], ...] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody else waits."""
        return any(not turn.done() for turn in self.turns)

    async def joined(self, visit: Visit) -> bytes | None:
        """The answer as it is kept; None if the call was cancelled. Raises as the call does."""
        turn = asyncio.get_running_loop().create_future()
        self.turns += (turn,)
        try:
            written: bytes | None = await visit.wait_for_call(turn)
        except CallError as error:
            visit.attempts = error.attempts
            raise
        return written

    def landed(self, value: Any) -> None:
        self._hand_out(b"" if value is NOTHING else encode(value))

    def failed(self, error: BaseException, attempts: int) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._hand_out(None)
            return
        if isinstance(error, CallError):
            error.attempts = attempts
        for turn in self.turns:
            if not turn.done():
                turn.set_exception(error)

    def _hand_out(self, written: bytes | None) -> None:
        for turn in self.turns:
            if not turn.done():
                turn.set_result(written)


def _decoded(written: bytes) -> Any:
    return decode_any(written) if written else NOTHING


def _flagged(value: Any) -> Any:
    return value | {"_stale": True} if isinstance(value, dict) else value
