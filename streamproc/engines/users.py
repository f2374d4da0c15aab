"""What user code raised, told from what goes through it."""

from __future__ import annotations

import asyncio
import signal

from streamproc.errors import Interrupted, RecordError, StreamprocError, Unfinished, described


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
