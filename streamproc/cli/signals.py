"""What SIGINT, SIGTERM and SIGHUP do to a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from streamproc.errors import Interrupted
from streamproc.pipeline.shutdown import Level, Shutdown
from streamproc.shown import counted
from streamproc.telemetry.terminal import stderr_is_terminal

_UNBLOCK_S = 1.0  # how long a busy loop may ignore the second signal before it is interrupted


class Signals:
    """First signal: drain. Second: abort. Third: leave at once.

    `signal.signal` and not the loop's handlers, which do nothing while a plain `def`
    keeps the loop busy. An abort that such a function holds up is raised inside it.
    """

    def __init__(
        self,
        shutdown: Shutdown,
        drain_timeout_s: float,
        waiting: Callable[[], int],
        erase: Callable[[], str],
    ) -> None:
        self._shutdown = shutdown
        self._drain_timeout_s = drain_timeout_s
        self._waiting = waiting
        self._erase = erase  # what takes the progress line away
        self._count = 0

    def install(self) -> None:
        """Signals that were ignored at the start (nohup, &) stay ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= 3:
            os._exit(75)
        self._shutdown.request(number)
        if self._count == 1:
            if stderr_is_terminal():
                said = f"draining {counted(self._waiting(), 'record')}, Ctrl-C again to abort\n"
                os.write(2, (self._erase() + said).encode())
            self._watch(self._drain_timeout_s)
        else:
            self._watch(_UNBLOCK_S)

    def _watch(self, after_s: float) -> None:
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.setitimer(signal.ITIMER_REAL, max(after_s, 0.001), _UNBLOCK_S)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._shutdown.level is Level.ABORT or self._shutdown.is_over:
            signal.setitimer(signal.ITIMER_REAL, 0)
        elif self._shutdown.asked is Level.ABORT:
            raise Interrupted  # the loop has not turned since: a plain def is in its way
        else:
            self._shutdown.request()
