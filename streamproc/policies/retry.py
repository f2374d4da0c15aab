"""Retry with exponential back-off and full jitter.

"Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a pause uniform in
[0, min(max_delay, base x 2^n)] spreads clients best. A throttled call does not use up
attempts: its target is alive. It fails when it was refused often *and* long enough.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, ClassVar, cast

from msgspec import Meta

from streamproc.errors import CallError
from streamproc.interfaces import Call, Inner, Layer, Policy, Site, Visit
from streamproc.types import CallResult
from streamproc.units import Seconds

_THROTTLED_FACTOR = 2.0  # 1 s where a transient error has 0.5 s
_MOST_DOUBLINGS = 64
_REFUSALS = 10  # of one record, before time counts
_JITTER = 0.1  # on top of what the target asked for
_MAX_JITTER_S = 1.0
HALF_DONE = ("reset", "timeout")  # the target may have done what was asked


class RetryPolicy(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`attempts` in all. Waits for a target that cannot be called count for nothing, only
    what a throttled record waits for counts: `max_elapsed` from its first attempt.

    `idempotent`: repeating a POST or PATCH does no harm. `when`: JMESPath over `status` and
    `body` of an answer that looked good; true means that it has to be asked for again.
    """

    expressions: ClassVar[tuple[str, ...]] = ("when",)
    default_of: ClassVar[tuple[str, ...]] = ("http",)
    asks_again: ClassVar[bool] = True

    attempts: Annotated[int, Meta(ge=1)] = 5
    base: Seconds = cast("Seconds", 0.5)
    max_delay: Seconds = cast("Seconds", 30.0)
    max_elapsed: Seconds = cast("Seconds", 300.0)
    idempotent: bool = False
    when: str | None = None

    def opened(self, site: Site) -> AbstractAsyncContextManager[Layer]:
        """The layer around calls, whose retries are logged (`policies.told`)."""
        from streamproc.policies.told import ToldRetries

        return ToldRetries(self)

    def wrap(
        self,
        inner: Inner,
        site: Site,
        heard: Callable[[Hashable, CallError], None] = lambda target, failure: None,
    ) -> Inner:
        """`inner` with this policy around it. `heard`: of whom is asked again, and why."""
        observer = site.observer

        async def persistent(call: Call, visit: Visit) -> CallResult:
            try:
                return await inner(call, visit)
            except CallError as error:
                failure = error
            now = asyncio.get_running_loop().time
            begun_s = now()
            failed = refused = 0
            while True:
                failed += not failure.throttled
                refused += failure.throttled
                if not _helps(failure, call) or failed >= self.attempts:
                    raise failure
                now_s = now()
                elapsed_s = now_s - begun_s
                if failure.throttled:
                    told_s = failure.after_s or 0.0  # for the others that is the gate's pause
                    pause_s = told_s + random.uniform(0.0, min(told_s * _JITTER, _MAX_JITTER_S))
                    if told_s < self.base:  # at once, or a moment later: again and again
                        pause_s = max(pause_s, self._pause_s(refused, _THROTTLED_FACTOR))
                    if refused >= _REFUSALS and elapsed_s + pause_s > self.max_elapsed:
                        raise failure
                else:
                    pause_s = self._pause_s(failed, 1.0)
                    if elapsed_s - visit.held_s + pause_s > self.max_elapsed:
                        raise failure
                if visit.deadline_s is not None and now_s + pause_s > visit.deadline_s:
                    raise failure
                observer.retried(call.target, failure, pause_s)
                heard(call.target, failure)
                await visit.pause(pause_s)
                try:
                    return await inner(call, visit)
                except CallError as error:
                    failure = error

        return persistent

    def _pause_s(self, times: int, factor: float) -> float:
        limit_s = self.base * factor * 2.0 ** min(times - 1, _MOST_DOUBLINGS)
        return random.uniform(0.0, min(self.max_delay, limit_s))


def _helps(failure: CallError, call: Call) -> bool:
    if not failure.again:
        return False
    return call.is_idempotent or not call.sent or failure.kind not in HALF_DONE
