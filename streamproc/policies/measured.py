"""What a monitor shows of calls: every attempt by target, every record by stage."""

from __future__ import annotations

from time import perf_counter

from msgspec import Struct

from streamproc.call_metrics import Slow, class_of, kind_of, label_of
from streamproc.errors import CallError, RecordError
from streamproc.interfaces import Call, Inner, RecheckError, Site, Visit
from streamproc.types import CallResult, Record


class MeasuredAttempts(Struct, frozen=True):
    """Counts and times attempts for `/metrics`. Without a monitor there is no such layer."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        metrics = site.metrics
        if metrics is None:
            return inner
        requests, durations = metrics.requests, metrics.request_s

        async def measured(call: Call, visit: Visit) -> CallResult:
            target = label_of(call.target)
            outcome = "cancelled"
            call.status = None
            begun_s = perf_counter()
            try:
                value = await inner(call, visit)
                outcome = "not_found" if call.is_negative else "ok"
            except RecheckError:  # nothing was asked yet
                outcome = ""
                raise
            except RecordError as error:
                outcome = kind_of(error.kind)
                if isinstance(error, CallError):
                    call.status = call.status or error.status
                raise
            except Exception:
                outcome = "exception"
                raise
            finally:
                if outcome:
                    requests[target, outcome, class_of(call.status)] += 1
                    durations[target].took(perf_counter() - begun_s)
            return value

        return measured


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
                if metrics.is_slow(took_s):
                    metrics.note(Slow(took_s, stage, visit.record_id))

        return measured
