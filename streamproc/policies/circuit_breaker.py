"""Circuit breaker: a target that is down is left alone, and records wait.

After M. Nygard, "Release It!" (2007). Where other breakers fail fast, this one holds the
records back (backpressure up to the reader): failing fast would pour the whole input into
the dead-letter file within seconds.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, cast

from msgspec import Meta

from streamproc.interfaces import Inner, Policy, Site
from streamproc.policies.circuit import Circuit
from streamproc.units import PositiveSeconds, Seconds

Count = Annotated[int, Meta(ge=1)]


class CircuitBreaker(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opens at `failure_ratio` of at least `min_calls` in `window`, or at `consecutive` in a row.

    It stays open for `open`, twice as long each further time, up to `max_open`. Records
    wait; when they have waited for `max_wait` without a success the run ends (69), to be resumed.
    """

    level: ClassVar[Literal["start"]] = "start"
    default_of: ClassVar[tuple[str, ...]] = ("http",)

    window: PositiveSeconds = cast("PositiveSeconds", 30.0)
    failure_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    min_calls: Count = 20
    consecutive: Count = 10
    open: Seconds = cast("Seconds", 5.0)
    max_open: Seconds = cast("Seconds", 60.0)
    max_wait: Seconds = cast("Seconds", 300.0)

    def circuit(self) -> Circuit:
        """A closed one."""
        return Circuit(
            window_s=self.window,
            failure_ratio=self.failure_ratio,
            min_calls=self.min_calls,
            consecutive=self.consecutive,
            open_s=self.open,
            max_open_s=self.max_open,
        )

    def shared(self) -> str:
        """See `Policy`."""
        return "a circuit breaker of its own"

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(breaker=self).wrap(inner, site)
