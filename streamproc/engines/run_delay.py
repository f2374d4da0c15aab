"""How long this thread had to wait for a processor: that is nobody's fault here.

Linux counts it (`/proc/thread-self/schedstat`, proc(5): the second number, in ns). On a busy
machine it may count a sleep as well: of one of 1.5 s Linux 6.18 said that 1.47 s were such waiting.
Who blocks in one is then not named; to name one who had to wait would be worse.
"""

from __future__ import annotations

import os

_APART_S = 0.05  # looks: each lets other threads have the interpreter


class RunDelay:
    """Of the thread that opens it. Where nobody counts it is 0."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._last_ns = self._read_ns()
        self._looked_s = 0.0

    def close(self) -> None:
        """Count no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def begin(self, now_s: float) -> None:
        """Something begins, at `now_s` of one clock; of a little before it is counted, too."""
        if now_s - self._looked_s > _APART_S:
            self._looked_s = now_s
            self._last_ns = self._read_ns()

    def since_last_s(self) -> float:
        """Since this was asked last, or something began, s."""
        last_ns, self._last_ns = self._last_ns, self._read_ns()
        return (self._last_ns - last_ns) / 1e9

    def _read_ns(self) -> int:
        if self._fd < 0:
            return 0
        try:
            return int(os.pread(self._fd, 100, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return 0
