"""What a trace shows of a stage: how long a record was there, also where another one's call, or
none at all, brought the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from msgspec import Struct

from streamproc.interfaces import FOLLOWED, Call, Follower, Inner, Site, StageEnded, Visit
from streamproc.types import CallResult


class FollowedCalls(Struct, frozen=True):
    """Tells whoever follows the record. There is no such layer if nobody follows any."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""

        async def told(call: Call, visit: Visit, follower: Follower) -> CallResult:
            begun_s = perf_counter()
            try:
                return await inner(call, visit)
            finally:
                follower.tell(StageEnded(site.name, perf_counter() - begun_s))

        def followed(call: Call, visit: Visit) -> Awaitable[CallResult]:
            follower = FOLLOWED.get()
            return inner(call, visit) if follower is None else told(call, visit, follower)

        return inner if site.audience.follow is None else followed
