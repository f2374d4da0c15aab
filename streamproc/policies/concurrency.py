"""How many calls of a stage a target gets at once: a fixed number, or as many as it can take."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta

from streamproc.interfaces import Inner, Policy, Site, part_of
from streamproc.policies.permits import AdaptivePermits, Permits
from streamproc.types import JsonValue

Count = Annotated[int, Meta(ge=1)]


class Concurrency(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adaptive: begins with `start` and stays between `min` and `max`."""

    level: ClassVar[Literal["start"]] = "start"

    max: Count
    min: Count = 1
    start: Count = 10

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min: at most max = {self.max}, got {self.min}")

    @classmethod
    def of(cls, value: JsonValue) -> Concurrency | FixedConcurrency | None:
        """See `Policy`; a number is a fixed one."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number:
            return FixedConcurrency(limit=value)
        return value if isinstance(value, cls) else None

    def part_for(self, place: int, count: int) -> Self:
        """See `Policy`."""
        most = part_of(self.max, place, count)
        least = min(most, max(1, self.min // count))
        return type(self)(max=most, min=least, start=max(1, self.start // count))

    def at_most(self, most: int) -> Self:
        """The same with no more than that."""
        limits = min(self.max, most), min(self.min, most), min(self.start, most)
        return type(self)(max=limits[0], min=limits[1], start=limits[2])

    def unshareable(self, count: int) -> str | None:
        """See `Policy`."""
        return _unshareable(self.max, count)

    def shared(self) -> str:
        """See `Policy`."""
        return f"concurrency {self.max}"

    def permits(self) -> Permits:
        """All free."""
        now = asyncio.get_running_loop().time
        return AdaptivePermits(self.min, self.max, self.start, now)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(concurrency=self).wrap(inner, site)


class FixedConcurrency(Policy, frozen=True):
    """Always `limit`."""

    level: ClassVar[Literal["start"]] = "start"

    limit: int

    @property
    def max(self) -> int:
        """As of an adaptive one."""
        return self.limit

    @property
    def value(self) -> int:
        """See `Policy`."""
        return self.limit

    def part_for(self, place: int, count: int) -> Self:
        """See `Policy`."""
        return type(self)(limit=part_of(self.limit, place, count))

    def at_most(self, most: int) -> Self:
        """The same with no more than that."""
        return type(self)(limit=min(self.limit, most))

    def unshareable(self, count: int) -> str | None:
        """See `Policy`."""
        return _unshareable(self.limit, count)

    def shared(self) -> str:
        """See `Policy`."""
        return f"concurrency {self.limit}"

    def permits(self) -> Permits:
        """All free."""
        return Permits(self.limit)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        from streamproc.policies.admission import Admission

        return Admission(concurrency=self).wrap(inner, site)


def _unshareable(limit: int, count: int) -> str | None:
    if limit < count:
        return f"concurrency {limit} cannot be shared by {count} workers; use fewer of them"
    return None
