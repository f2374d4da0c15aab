"""Pipes that hold more than usual: both ends wake up less often.

Linux only; see `F_SETPIPE_SZ` in fcntl(2). 256 KiB give all that more would, and leave a user's
pipes their share (`pipe-user-pages-soft` in proc(5)).
"""

from __future__ import annotations

import fcntl

PIPE_BYTES = 256 * 1024


def widen(fd: int) -> None:
    """Ask for room in the pipe `fd`; less, or nothing, where a limit says so."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return
    size = PIPE_BYTES
    try:
        while size > fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ):
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
            except PermissionError:
                size //= 2
    except OSError:
        return  # no pipe of this machine
