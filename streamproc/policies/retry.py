"""Retry with full jitter.

"Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a pause uniform in
[0, min(max_delay, base x 2^n)] spreads clients best. A throttled call does not use up
attempts: its target is alive, only the elapsed time bounds it.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import Annotated, Any, cast

from msgspec import Meta, Struct

from streamproc.errors import CallError
from streamproc.interfaces import Inner, Site, Visit
from streamproc.units import Seconds

_THROTTLED_FACTOR = 2.0  # 1 s where a transient error has 0.5 s
_MOST_DOUBLINGS = 64
_HALF_DONE = ("reset", "timeout")  # the target may have done what was asked


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`attempts` in all. Waits for a paused or open target count for nothing.

    `idempotent`: repeating a POST or PATCH does no harm. `when`: JMESPath over `status` and
    `body` of an answer that looked good; true means that it has to be asked for again.
    """

    attempts: Annotated[int, Meta(ge=1)] = 5
    base: Seconds = cast("Seconds", 0.5)
    max_delay: Seconds = cast("Seconds", 30.0)
    max_elapsed: Seconds = cast("Seconds", 300.0)
    idempotent: bool = False
    when: str | None = None

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        counts = site.counts

        async def persistent(call: Any, visit: Visit) -> Any:
            try:
                return await inner(call, visit)
            except CallError as error:
                failure = error
            begun_s = monotonic()
            failed = throttled = 0
            while True:
                failed += not failure.throttled
                throttled += failure.throttled
                if not _helps(failure, call) or failed >= self.attempts:
                    raise failure
                limit_s = self.base * 2.0 ** min(failed - 1, _MOST_DOUBLINGS)
                if failure.throttled:
                    limit_s = (
                        self.base * _THROTTLED_FACTOR * 2.0 ** min(throttled - 1, _MOST_DOUBLINGS)
                    )
                pause_s = random.uniform(0.0, min(self.max_delay, limit_s))
                if failure.after_s is not None:
                    pause_s = 0.0  # the target's pause is longer, and everybody's
                now_s = monotonic()
                if now_s + pause_s - begun_s - visit.held_s > self.max_elapsed:
                    raise failure
                if visit.deadline_s is not None and now_s + pause_s > visit.deadline_s:
                    raise failure
                counts.retries += 1
                if pause_s:
                    await visit.pause(pause_s)
                try:
                    return await inner(call, visit)
                except CallError as error:
                    failure = error

        return persistent


def _helps(failure: CallError, call: Any) -> bool:
    if not failure.again:
        return False
    return call.is_idempotent or not call.sent or failure.kind not in _HALF_DONE
