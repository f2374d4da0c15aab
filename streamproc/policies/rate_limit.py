"""Rate limit: a token bucket as in RFC 2697; the gate takes a token when a request is written."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, structs

from streamproc.interfaces import Inner, Policy, Site, part_of
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.units import Rate

_BURST_S = 0.1  # worth of tokens that a bucket holds, unless it is set
_MAX_BURST_S = 1.0
_CLOCK_S = 0.005  # uvloop's clock counts whole ms and stands still during a turn of the loop


class RateLimit(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` attempts, `burst` of them at once.

    `strict`: never more than `limit` in any window of its unit.
    """

    level: ClassVar[Literal["start"]] = "start"
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

    def part_for(self, place: int, count: int) -> Self:
        """See `Policy`: whole calls of each window if it is strict, else a part of the rate."""
        limit = self.limit
        if self.strict:
            calls = part_of(int(limit * limit.period_s + 1e-6), place, count)
            return structs.replace(self, limit=Rate(calls / limit.period_s, limit.period_s))
        burst = None if self.burst is None else max(1, self.burst // count)
        return structs.replace(self, limit=Rate(limit / count, limit.period_s), burst=burst)

    def unshareable(self, count: int) -> str | None:
        """See `Policy`."""
        if self.strict and self.limit * self.limit.period_s < count:
            return f"a strict rate of {self.limit.written} cannot be shared"
        return None

    def shared(self) -> str:
        """See `Policy`."""
        return f"a rate of {self.limit:g}/s"

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(rate=self).wrap(inner, site)
