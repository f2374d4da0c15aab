"""Rate limit: a token bucket as in RFC 2697; the gate takes a token when a request is written."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from streamproc.interfaces import Inner, Site
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.units import Rate

_BURST_S = 0.1  # worth of tokens that a bucket holds, unless it is set
_MAX_BURST_S = 1.0
_CLOCK_S = 0.005  # uvloop's clock counts whole ms and stands still during a turn of the loop


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

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(rate=self).wrap(inner, site)
