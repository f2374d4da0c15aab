"""Record deadline: one limit over all attempts and waits of a record at a stage."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from streamproc.interfaces import Inner, Site, Visit
from streamproc.units import Seconds


class Deadline(Struct, frozen=True):
    """`limit` is the stage's `deadline`, s."""

    limit: Seconds

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""

        async def limited(call: Any, visit: Visit) -> Any:
            visit.deadline_s = asyncio.get_running_loop().time() + self.limit
            try:
                value = await inner(call, visit)
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
