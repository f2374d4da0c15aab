"""Attempt timeout: the innermost layer, around the call itself.

The engine's sweeper cancels; this layer says when an attempt begins and what its end means,
and maps what user code raises to what policies decide by.
"""

from __future__ import annotations

from msgspec import Struct

from streamproc.errors import CallError, Retry, described
from streamproc.interfaces import Call, Inner, RecheckError, Site, Visit
from streamproc.types import CallResult


class Timeout(Struct, frozen=True):
    """Always there. The limit is the stage's `timeout`."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        observer = site.observer

        async def attempt(call: Call, visit: Visit) -> CallResult:
            visit.begin(site)
            call.status = None  # that of the attempt before
            begun_s = observer.requested(call.target, visit.attempts)
            try:
                value = await inner(call, visit)
                visit.end()
            except RecheckError:  # nothing was asked yet
                observer.recalled(begun_s, call.target, visit.attempts)
                visit.attempts -= 1
                visit.end()
                raise
            except BaseException as error:
                try:
                    failure = visit.end_failed(error)
                except BaseException:
                    observer.given_up(begun_s, call.target, visit.attempts, call.status)
                    raise
                if failure is not error and isinstance(failure, CallError):
                    failure.reword(_noted(failure.message, error))
                failure = as_call_error(failure)
                observer.failed(begun_s, call.target, visit.attempts, failure, call.status)
                if failure is error:
                    raise
                raise failure from error
            outcome = "not_found" if call.is_negative else "ok"
            observer.ended(begun_s, call.target, visit.attempts, outcome, call.status)
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
