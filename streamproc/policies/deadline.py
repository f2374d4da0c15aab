"""Record deadline: one limit over all attempts and waits of a record at a stage."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from streamproc.interfaces import Inner, Policy, Site, Visit
from streamproc.types import CallResult, JsonValue, Record
from streamproc.units import Seconds


class Deadline(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limit` is the stage's `deadline`, s."""

    level: ClassVar[Literal["record"]] = "record"

    limit: Seconds

    @classmethod
    def of(cls, value: JsonValue) -> Deadline | None:
        """See `Policy`."""
        return None if value is None else cls(limit=value)

    @property
    def value(self) -> Seconds:
        """See `Policy`."""
        return self.limit

    @property
    def limits_s(self) -> tuple[float, ...]:
        """See `Policy`."""
        return (self.limit,)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""

        async def limited(fields: Record, visit: Visit) -> CallResult:
            visit.deadline_s = asyncio.get_running_loop().time() + self.limit
            try:
                value = await inner(fields, visit)
                visit.end()
            except BaseException as error:
                failure = visit.end_failed(error)
                if failure is error:
                    raise
                raise failure from error
            finally:
                visit.deadline_s = None
            return value

        return limited
