"""Answers that were had before, and equal calls in flight as one call.

Single-flight is what golang.org/x/sync calls so. The call of a flight runs in a task that
belongs to the stage, not to whoever came first: a caller that is cancelled cancels only
itself, and the call stops when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType
from typing import Annotated, Any, ClassVar, Self, cast

from msgspec import Meta, Struct

from streamproc.codec import decode_any, encode
from streamproc.errors import CallError
from streamproc.interfaces import Fork, Inner, Site, Visit
from streamproc.policies.store import Kept, MemoryStore, SqliteStore, Store
from streamproc.record import NOTHING
from streamproc.units import ByteSize, Seconds

_JITTER = 0.1  # of the time to live: what was cached together does not expire together


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps good answers for `ttl`, and the word that there is none (404) for `negative_ttl`.

    In memory the least recently used go, beyond `max_entries` or `max_bytes`; with `path`
    they are in a SQLite file. `stale_if_error`: rather an old answer, flagged `_stale`,
    than none.
    """

    shorthand: ClassVar[str] = "ttl"

    ttl: Seconds = cast("Seconds", 3600.0)
    negative_ttl: Seconds = cast("Seconds", 60.0)
    max_entries: Annotated[int, Meta(ge=1)] = 10_000
    max_bytes: ByteSize = cast("ByteSize", 64 << 20)
    path: str | None = None
    stale_if_error: bool = False

    def store(self) -> Store:
        """The store that these settings mean, not opened yet."""
        if self.path is not None:
            return SqliteStore(self.path, keeps_expired=self.stale_if_error)
        return MemoryStore(self.max_entries, self.max_bytes)


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

        async def lead(flight: _Flight, key: bytes, call: Any, visit: Visit) -> Any:
            flight.visit = visit
            value = await inner(call, visit)
            self._keep(key, value, is_negative=call.is_negative)
            return value

        async def cached(call: Any, visit: Visit) -> Any:
            key = call.key()
            kept = store.get(key)
            if kept is not None and kept.expires_s > time.time():
                counts.cache_hits += 1
                return _decoded(kept.value)
            flight = flights.get(key)
            if flight is None:
                flight = flights[key] = _Flight()
                leading = flight
                flight.begin(
                    visit.fork(lambda own: lead(leading, key, call, own), takes_place=False),
                    lambda: flights.pop(key, None),
                )
                turn = flight.join()
                waiting: Any = turn
            else:
                counts.coalesced += 1
                turn = flight.join()
                waiting = visit.wait_for_call(turn)
            try:
                return await waiting
            except asyncio.CancelledError:
                flight.leave(turn)
                raise
            except CallError:
                visit.attempts = flight.visit.attempts if flight.visit else 1
                if kept is not None and self._cache.stale_if_error:
                    return _flagged(_decoded(kept.value))
                raise

        return cached

    def _keep(self, key: bytes, value: Any, *, is_negative: bool) -> None:
        ttl_s = self._cache.negative_ttl if is_negative else self._cache.ttl
        kept_s = ttl_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        written = b"" if value is NOTHING else encode(value)
        self._store.put(key, Kept(written, time.time() + kept_s))


class _Flight:
    """One call in flight, and everybody who waits for it."""

    def __init__(self) -> None:
        self.visit: Visit | None = None
        self._turns: list[asyncio.Future[Any]] = []
        self._fork: Fork | None = None
        self._land: Any = None

    def begin(self, fork: Fork, land: Any) -> None:
        self._fork = fork
        self._land = land
        fork.answer.add_done_callback(self._arrived)

    def join(self) -> asyncio.Future[Any]:
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        return turn

    def leave(self, turn: asyncio.Future[Any]) -> None:
        if turn in self._turns:
            self._turns.remove(turn)
        if not self._turns and self._fork is not None and not self._fork.answer.done():
            self._land()  # whoever comes now begins anew
            self._fork.cancel()

    def _arrived(self, answer: asyncio.Future[Any]) -> None:
        self._land()
        turns, self._turns = self._turns, []
        if answer.cancelled():
            for turn in turns:
                turn.cancel()
            return
        error = answer.exception()
        value = None if error else answer.result()
        written = encode(value) if len(turns) > 1 and not error and value is not NOTHING else b""
        for turn in turns:
            if turn.done():
                continue
            if error is not None:
                turn.set_exception(error)
            elif turn is turns[0]:
                turn.set_result(value)
            else:  # everybody gets an object of their own
                turn.set_result(_decoded(written))


def _decoded(written: bytes) -> Any:
    return decode_any(written) if written else NOTHING


def _flagged(value: Any) -> Any:
    return value | {"_stale": True} if isinstance(value, dict) else value
