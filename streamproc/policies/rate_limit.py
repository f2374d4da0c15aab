"""Rate limit, and the pause that a target asks for (Retry-After).

One layer for both: a pause stops the target's bucket, so that nobody spends a token and
then waits with it. A token bucket as in RFC 2697; RFC 6585 (429), RFC 9110 10.2.3
(Retry-After).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.interfaces import Inner, RecheckError, Site, Visit
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.policies.circuit_breaker import openings
from streamproc.targets import Targets
from streamproc.units import Rate

_BURST_S = 0.1  # worth of tokens that a bucket holds, unless it is set
_MAX_BURST_S = 1.0
_JITTER = 0.1  # on top of a pause, so that not all come back at once
_MAX_JITTER_S = 1.0
_LONG_S = 120.0  # a pause beyond it means: not available
_CLOCK_S = 0.005  # uvloop's clock counts whole ms and stands still during a turn of the loop
_TICK_S = 0.001  # what its timers can tell apart: shorter ones would keep the loop spinning


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` attempts, `burst` of them at once.

    `strict`: never more than `limit` in any window of its unit.
    """

    shorthand: ClassVar[str] = "limit"

    limit: Rate
    burst: Annotated[int, Meta(ge=1)] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        most = max(1, int(self.limit * _MAX_BURST_S))
        if self.burst is not None and self.burst > most:
            raise ValueError(f"burst: at most {most}, which is 1 s worth, got {self.burst}")

    def bucket(self) -> Bucket | StrictBucket:
        """A full one."""
        if self.strict:
            count = max(1, int(self.limit * self.limit.period_s + 1e-6))
            return StrictBucket(count, count / self.limit + _CLOCK_S)
        return Bucket(self.limit, self.burst or max(1, int(self.limit * _BURST_S)))


class Throttle:
    """The layer. `rate` None: only pauses."""

    def __init__(self, rate: RateLimit | None) -> None:
        self._rate = rate

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        rate = self._rate
        lines: Targets[Hashable, _Line] = Targets(
            lambda target: _Line(target, site, None if rate is None else rate.bucket())
        )

        async def throttled(call: Any, visit: Visit) -> Any:
            line = lines[call.target]
            if line.is_slow or not (line.bucket is None or line.bucket.take(line.now())):
                await line.pass_through(visit)
            try:
                return await inner(call, visit)
            except CallError as error:
                if error.after_s is not None:
                    line.pause(error.after_s)
                raise

        return throttled


class _Line:
    """The records that wait for a target's next token, first in, first out.

    The first of them are invited: as many as there are tokens. An invited record goes on
    when it has its place back, and takes its token then.
    """

    def __init__(self, target: Hashable, site: Site, bucket: Bucket | StrictBucket | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.bucket = bucket
        self.is_slow = False  # there is a pause or somebody waits
        self._target = target
        self._site = site
        self._turns: deque[asyncio.Future[None]] = deque()
        self._invited = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused_since = self._paused_until = 0.0
        self._pause_s = 0.0  # as the target said
        self._paused_before_s = 0.0  # by all earlier pauses

    def retire(self) -> bool:
        """See `Retires`: it is neither slow nor lacks a token."""
        now, bucket = self.now(), self.bucket
        if self._turns or self._invited or now < self._paused_until:
            return False
        return bucket is None or bucket.wait_s(now, bucket.size) <= 0

    def pause(self, after_s: float) -> None:
        """Nobody calls the target for `after_s`. Raises `UnavailableError` if that is too long."""
        site, now = self._site, self.now()
        until = now + after_s + _CLOCK_S
        if until > self._paused_until:
            if now >= self._paused_until:
                self._paused_before_s += self._paused_until - self._paused_since
                self._paused_since = now
            self._paused_until = until
            self._pause_s = after_s
            self.is_slow = True
            if after_s > _LONG_S and site.has_fallback:
                for turn in self._turns:
                    if not turn.done():
                        turn.set_exception(self._not_called(after_s))
            self._look_again()
        if after_s > site.max_wait_s and not site.has_fallback:
            raise UnavailableError(
                f"{site.name}: {self._target} asks to wait for {after_s:g} s (Retry-After), "
                f"longer than breaker.max_wait = {site.max_wait_s:g} s; start again then"
            )

    async def pass_through(self, visit: Visit) -> None:
        """Wait for the end of the pause, and for a token if there is a rate; take it.

        Raises `RecheckError` if the circuit opened meanwhile, `CircuitOpenError` if the
        pause is long and there is a fallback.
        """
        site, target, bucket = self._site, self._target, self.bucket
        before = openings(site.gate, target)
        while True:
            while (left_s := self._paused_until - self.now()) > 0:
                await self._wait_out(visit, left_s)
            if openings(site.gate, target) != before:
                raise RecheckError
            if bucket is None:
                self.is_slow = False
                return
            if not self._turns and bucket.wait_s(self.now(), self._invited + 1) <= 0:
                bucket.take(self.now())
                self.is_slow = self._invited > 0
                return
            if await self._queue(visit, before):
                return

    def _paused_s(self) -> float:
        return self._paused_before_s + min(self.now(), self._paused_until) - self._paused_since

    async def _wait_out(self, visit: Visit, left_s: float) -> None:
        if self._pause_s > _LONG_S and self._site.has_fallback:
            raise self._not_called(left_s)
        jitter_s = random.uniform(0, min(self._pause_s * _JITTER, _MAX_JITTER_S))
        began_s = self.now()
        try:
            await visit.pause(left_s + jitter_s)
        finally:
            visit.held_s += self.now() - began_s

    def _not_called(self, left_s: float) -> CircuitOpenError:
        return CircuitOpenError("throttled", f"{self._target}: not called for {left_s:.0f} s")

    async def _queue(self, visit: Visit, before: int) -> bool:
        """Wait to be invited; False if the target paused just then."""
        assert self.bucket is not None
        self._site.counts.rate_limited += 1
        self.is_slow = True
        turn = self._loop.create_future()
        self._turns.append(turn)
        if self._timer is None:
            self._invite()
        paused_s = self._paused_s()
        has_token = False
        try:
            await visit.wait(turn)
            if openings(self._site.gate, self._target) != before:
                raise RecheckError
            has_token = self._paused_until <= self.now() and self.bucket.take(self.now())
            return has_token
        finally:
            visit.held_s += self._paused_s() - paused_s
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._invited -= 1
                if self._timer is None or not has_token:
                    self._look_again()

    def _look_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.bucket is not None:
            self._invite()

    def _invite(self) -> None:
        """As many as there are tokens for; look again when the next one is due."""
        bucket, turns, self._timer = self.bucket, self._turns, None
        assert bucket is not None
        now = self.now()
        while turns:
            if turns[0].done():  # it was cancelled
                turns.popleft()
                continue
            if self._invited >= bucket.size:
                return  # who takes a token invites the next one
            wait_s = max(bucket.wait_s(now, self._invited + 1), self._paused_until - now)
            if wait_s > 0:
                self._timer = self._loop.call_later(max(wait_s, _TICK_S), self._invite)
                return
            turns.popleft().set_result(None)
            self._invited += 1
        self.is_slow = self._invited > 0 or now < self._paused_until
