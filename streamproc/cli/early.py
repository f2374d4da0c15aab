"""What a signal means before there is a run, while all is imported. Imports next to nothing."""

from __future__ import annotations

import os
import signal
from types import FrameType


def leave_on_signals() -> None:
    """Silently, with the exit code: nothing was read yet. What is ignored stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
