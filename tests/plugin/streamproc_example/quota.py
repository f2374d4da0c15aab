"""`quota = 1000`: no more attempts than that in a run, over all workers."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from streamproc.errors import CallError
from streamproc.interfaces import Inner, Policy, Site, Visit, part_of


class Quota(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `calls` attempts; what would need more fails (`quota`) without being sent."""

    level: ClassVar[Literal["attempt"]] = "attempt"
    shorthand: ClassVar[str] = "calls"

    calls: Annotated[int, Meta(ge=1)]

    @classmethod
    def contradictions(cls, stage: Mapping[str, Any]) -> Iterable[str]:
        """See `Recipe`."""
        if stage.get("batch"):
            yield "quota: counts calls, and a batch is one of many records; leave one of them out"

    def part_for(self, place: int, count: int) -> Self:
        """See `Policy`."""
        return replace(self, calls=part_of(self.calls, place, count))

    def unshareable(self, count: int) -> str | None:
        """See `Policy`."""
        if self.calls < count:
            return f"a quota of {self.calls} cannot be shared by {count} workers"
        return None

    def shared(self) -> str:
        """See `Policy`."""
        return f"a quota of {self.calls}"

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """See `Layer`."""
        left = self.calls

        async def counted(call: Any, visit: Visit) -> Any:
            nonlocal left
            if left == 0:
                site.counts.others["over_quota"] += 1
                raise CallError("quota", f"the {self.calls} calls of the quota are used up")
            left -= 1
            return await inner(call, visit)

        return counted
