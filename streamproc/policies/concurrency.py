"""How many calls of a stage a target gets at once: a fixed number, or as many as it can take."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from streamproc.interfaces import Inner, Site
from streamproc.policies.permits import AdaptivePermits, Permits

Count = Annotated[int, Meta(ge=1)]


class Concurrency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adaptive: begins with `start` and stays between `min` and `max`."""

    max: Count
    min: Count = 1
    start: Count = 10

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min: at most max = {self.max}, got {self.min}")

    def permits(self) -> Permits:
        """All free."""
        now = asyncio.get_running_loop().time
        return AdaptivePermits(self.min, self.max, self.start, now)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(concurrency=self).wrap(inner, site)


class FixedConcurrency(Struct, frozen=True):
    """Always `limit`."""

    limit: int

    def permits(self) -> Permits:
        """All free."""
        return Permits(self.limit)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(concurrency=self).wrap(inner, site)
