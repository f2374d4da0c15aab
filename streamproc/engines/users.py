"""What user code raised, told from what goes through it."""

from __future__ import annotations

import asyncio
import signal

from streamproc.errors import Interrupted, RecordError, StreamprocError, Unfinished, described
from streamproc.record import Failed


def users(error: BaseException, *, awaited: bool = False) -> BaseException:
    """`error` if user code raised it; raised again if it means something to us.

    A KeyboardInterrupt is user code's where Ctrl-C does not raise one, as in the command. A
    cancellation that was `awaited` may be anybody's.
    """
    if isinstance(error, Interrupted | StreamprocError | Unfinished):
        raise error
    if isinstance(error, asyncio.CancelledError) and not awaited:
        return RecordError("exception", described(error))
    if isinstance(error, KeyboardInterrupt):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise error
        return RecordError("exception", described(error))
    return error


def failed_of(error: BaseException, stage: str, attempts: int) -> Failed:
    """What a record failed of at `stage`."""
    if not isinstance(error, RecordError):
        name = type(error).__name__
        return Failed(stage, "exception", described(error), attempts, group=name)
    group = error.details.get("status", "")
    if error.kind == "exception" and error.__cause__ is not None:
        group = type(error.__cause__).__name__
    return Failed(stage, error.kind, error.message, attempts, error.details, str(group))
