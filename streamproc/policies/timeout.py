"""Attempt timeout: the innermost layer, around the call itself.

The engine's sweeper cancels; this layer says when an attempt begins and what its end means,
and maps what user code raises to what policies decide by.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from msgspec import Struct

from streamproc.errors import CallError, RecordError, Retry, described
from streamproc.interfaces import Inner, RecheckError, Site, Visit


class Timeout(Struct, frozen=True):
    """Always there. The limit is the stage's `timeout`."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        counts = site.counts

        async def attempt(call: Any, visit: Visit) -> Any:
            counts.requests += 1
            begun_s = perf_counter()
            visit.begin(site)
            try:
                value = await inner(call, visit)
                visit.end()
            except RecheckError:  # nothing was asked yet
                counts.requests -= 1
                visit.attempts -= 1
                visit.end()
                raise
            except BaseException as error:
                failure = visit.end_failed(error)
                counts.took(perf_counter() - begun_s)
                if failure is error and isinstance(error, RecordError):
                    raise
                if failure is not error and isinstance(failure, CallError):
                    failure.reword(_noted(failure.message, error))
                raise as_call_error(failure) from error
            counts.took(perf_counter() - begun_s)
            counts.not_found += call.is_negative
            return value

        return attempt


def _noted(message: str, error: BaseException) -> str:
    """`message` of a call that was cancelled; notes say how far it was, and what it was."""
    *phase, call = getattr(error, "__notes__", None) or [""]
    return f"{call}: {', '.join((message, *phase))}" if call else message


def as_call_error(error: BaseException) -> BaseException:
    """What policies see of an error in user code: trying again helps with some of them."""
    if isinstance(error, Retry):
        throttled = error.after_s is not None
        return CallError(
            "exception", described(error), again=True, throttled=throttled, after_s=error.after_s
        )
    if isinstance(error, TimeoutError | OSError):
        return CallError("exception", described(error), again=True, is_outage=True)
    return error
