"""What a monitor shows of records: how long each took at a stage."""

from __future__ import annotations

from time import perf_counter

from msgspec import Struct

from streamproc.call_metrics import Slow
from streamproc.interfaces import Inner, Site, Visit
from streamproc.types import CallResult, Record


class MeasuredRecords(Struct, frozen=True):
    """Times all that is done for a record at a stage, waits included, in seconds."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        metrics, stage = site.metrics, site.name
        if metrics is None:
            return inner
        durations = metrics.record_s[stage]

        async def measured(fields: Record, visit: Visit) -> CallResult:
            begun_s = perf_counter()
            try:
                return await inner(fields, visit)
            finally:
                took_s = perf_counter() - begun_s
                durations.took(took_s)
                if took_s > metrics.slow_s:
                    metrics.note(Slow(took_s, stage, visit.record_id))

        return measured
