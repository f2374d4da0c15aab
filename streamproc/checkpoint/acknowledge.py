"""`--ack-fd`: tells a script how many lines of its input are done."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import select
import time

from streamproc.errors import UsageError

log = logging.getLogger("streamproc")

_RETRY_S = 0.02
_LAST_S = 2.0  # what a reader gets to take the last count


class Acknowledger:
    """Writes counts, one per line, and never waits: a later count says more than the one before.

    The descriptor keeps its blocking mode, which others may share: it is asked first
    whether it takes something. A pipe that does takes a line of this size whole.
    """

    def __init__(self, fd: int) -> None:
        """`fd`: open for writing, ours alone from here on. Raises `UsageError`."""
        try:
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError
        except (OSError, OverflowError):  # a number that no descriptor has
            raise UsageError(
                f"--ack-fd {fd}: not open for writing; add {fd}>FILE, or pass the end of a pipe"
            ) from None
        self._count = 0
        self._told = -1
        self._timer: asyncio.TimerHandle | None = None

    def acknowledge(self, count: int) -> None:
        """`count` lines from the beginning on are done."""
        self._count = count
        if self._timer is None:
            self._tell()

    async def close(self) -> None:
        """Say the last count, if the reader takes it within 2 s."""
        until_s = time.monotonic() + _LAST_S
        while self._timer is not None and time.monotonic() < until_s:  # noqa: ASYNC110 - a timer
            await asyncio.sleep(_RETRY_S)
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        self._timer = None
        if self._count == self._told or self._fd < 0:
            return
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        try:
            ready = poll.poll(0)
            if ready and ready[0][1] & select.POLLOUT:
                os.write(self._fd, b"%d\n" % self._count)
                self._told = self._count
            elif ready:  # POLLERR, POLLHUP
                raise BrokenPipeError
            else:
                self._timer = asyncio.get_running_loop().call_later(_RETRY_S, self._tell)
        except BlockingIOError:
            self._timer = asyncio.get_running_loop().call_later(_RETRY_S, self._tell)
        except OSError as error:
            log.warning("nobody takes acknowledgements any more: %s", error.strerror)
            os.close(self._fd)
            self._fd = -1
