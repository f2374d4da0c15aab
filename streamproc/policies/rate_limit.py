"""Rate limit, and the pause that a target asks for (Retry-After).

One layer for both: a pause stops the target's bucket, so that nobody spends a token and
then waits with it. RFC 6585 (429), RFC 9110 10.2.3 (Retry-After).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.interfaces import Inner, RecheckError, Site, Visit
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.units import Rate

_BURST_S = 0.1  # worth of tokens that a bucket holds, unless it is set
_MAX_BURST_S = 1.0
_JITTER = 0.1  # on top of a pause, so that not all come back at once
_MAX_JITTER_S = 1.0
_LONG_S = 120.0  # a pause beyond it means: not available


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` attempts, `burst` of them at once.

    `strict`: never more than `limit` in any window of its unit.
    """

    shorthand: ClassVar[str] = "limit"

    limit: Rate
    burst: Annotated[int, Meta(ge=1)] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        most = max(1.0, self.limit * _MAX_BURST_S)
        if self.burst is not None and self.burst > most:
            raise ValueError(f"burst: at most {most:g}, which is 1 s worth, got {self.burst}")

    def bucket(self) -> Bucket | StrictBucket:
        """A full one."""
        if self.strict:
            return StrictBucket(
                max(1, round(self.limit * self.limit.period_s)), self.limit.period_s
            )
        return Bucket(self.limit, self.burst or max(1.0, self.limit * _BURST_S))


class Throttle:
    """The layer. `rate` None: only pauses."""

    def __init__(self, rate: RateLimit | None) -> None:
        self._rate = rate

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        lines: dict[str, _Line] = {}
        gate = site.gate

        async def throttled(call: Any, visit: Visit) -> Any:
            line = lines.get(call.target)
            if line is None:
                bucket = self._rate.bucket() if self._rate is not None else None
                line = lines[call.target] = _Line(call.target, site, bucket)
            if line.paused_until or not line.takes_token():
                await line.waited(visit)
                if gate.is_shut(call.target):
                    raise RecheckError
            try:
                return await inner(call, visit)
            except CallError as error:
                if error.after_s is not None:
                    line.pause(error.after_s)
                raise

        return throttled


class _Line:
    """The records that wait for a target's next token, first in, first out."""

    def __init__(self, target: str, site: Site, bucket: Bucket | StrictBucket | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._target = target
        self._site = site
        self.bucket = bucket
        self.paused_until = 0.0  # loop time; 0.0: not paused
        self._pause_s = 0.0
        self._turns: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def pause(self, after_s: float) -> None:
        """Nobody calls the target for `after_s`."""
        until = self._loop.time() + after_s
        if until > self.paused_until:
            self.paused_until = until
            self._pause_s = after_s
        if after_s > self._site.max_wait_s and not self._site.has_fallback:
            raise UnavailableError(
                f"{self._site.name}: {self._target} asks to wait for {after_s:g} s (Retry-After), "
                f"longer than breaker.max_wait = {self._site.max_wait_s:g} s; start again then"
            )

    def takes_token(self) -> bool:
        """Take a token if one is needed, there, and nobody waits for it."""
        bucket = self.bucket
        return bucket is None or (not self._turns and bucket.take(self._loop.time()))

    async def waited(self, visit: Visit) -> None:
        """Wait for the end of the pause and for a token."""
        while True:
            while (now := self._loop.time()) < self.paused_until:
                await self._wait_out(visit, self.paused_until - now)
            self.paused_until = 0.0
            if self.takes_token():
                return
            await self._queue(visit)
            if self.bucket is None or not self.paused_until:
                return
            self.bucket.give_back(self._loop.time())

    async def _wait_out(self, visit: Visit, left_s: float) -> None:
        if self._pause_s > _LONG_S and self._site.has_fallback:
            raise CircuitOpenError("throttled", f"{self._target}: not called for {left_s:.0f} s")
        jitter_s = random.uniform(0, min(self._pause_s * _JITTER, _MAX_JITTER_S))
        began_s = self._loop.time()
        try:
            await visit.pause(left_s + jitter_s)
        finally:
            visit.held_s += self._loop.time() - began_s

    async def _queue(self, visit: Visit) -> None:
        self._site.counts.rate_limited += 1
        turn = self._loop.create_future()
        self._turns.append(turn)
        if self._timer is None:
            self._schedule()
        try:
            await visit.wait(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                assert self.bucket is not None
                self.bucket.give_back(self._loop.time())
            raise

    def _schedule(self) -> None:
        assert self.bucket is not None
        now = self._loop.time()
        wait_s = max(self.bucket.wait_s(now), self.paused_until - now, 0.0)
        self._timer = self._loop.call_later(wait_s, self._grant)

    def _grant(self) -> None:
        assert self.bucket is not None
        self._timer = None
        now = self._loop.time()
        while self._turns:
            if self._turns[0].done():
                self._turns.popleft()
            elif now >= self.paused_until and self.bucket.take(now):
                self._turns.popleft().set_result(None)
            else:
                self._schedule()
                return
