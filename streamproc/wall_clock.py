"""The time of day, which is the loop's own where its time is simulated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def wall_clock() -> Callable[[], float]:
    """What gives seconds since 1970 in the running loop."""
    return getattr(asyncio.get_running_loop(), "wall_time", time.time)
