"""How much memory `ulimit -v` leaves to this process."""

from __future__ import annotations

import resource
from math import inf


def room_bytes() -> float:
    """Half of what it leaves; endless if it says nothing.

    The other half is for copies, for what user code makes, and for what lies between.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return inf
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
    except OSError:  # not on this system
        return inf
    return max(0, limit - pages * resource.getpagesize()) / 2
