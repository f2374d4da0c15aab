"""How a run ends before its input does: the levels, named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum

_WIND_DOWN_SHARE = 0.75  # of the drain timeout


class Level(IntEnum):
    """How urgently a run is asked to end."""

    NONE = 0
    DRAIN = 1
    """Read no more; finish and write what was read."""
    ABORT = 2
    """Cancel what is in flight; account for it."""


class Shutdown:
    """The level that was asked for, and who wants to hear of it.

    `asked` runs ahead of `level` while a plain `def` keeps the loop busy.
    """

    def __init__(self, drain_timeout_s: float) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._on_wind_down: Callable[[], None] = lambda: None
        self._on_drain: Callable[[], None] = lambda: None
        self._on_abort: Callable[[], None] = lambda: None
        self.level = Level.NONE
        self.asked = Level.NONE
        self.signal: int | None = None
        self.is_over = False  # the run has ended: there is nothing left to abort

    def listen(
        self,
        on_drain: Callable[[], None],
        on_abort: Callable[[], None],
        on_wind_down: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to deliver; what was asked for before is delivered now.

        `on_wind_down` comes when most of the drain timeout is over: the time to start
        nothing new.
        """
        self._on_wind_down = on_wind_down
        self._loop = asyncio.get_running_loop()
        self._on_drain, self._on_abort = on_drain, on_abort
        self._catch_up()

    def request(self, signal: int | None = None) -> None:
        """One level further. For signal handlers: safe while the loop is busy or not begun."""
        self.signal = self.signal or signal
        self.asked = Level(min(self.asked + 1, Level.ABORT))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._catch_up)

    def _catch_up(self) -> None:
        if self.asked >= Level.DRAIN:
            self.drain()
        if self.asked >= Level.ABORT:
            self.abort()

    def drain(self) -> None:
        """Read no more; abort when the drain takes longer than its timeout."""
        if self.level is not Level.NONE:
            return
        self.level = Level.DRAIN
        self._on_drain()
        if self._loop is not None:
            drain_s, later = self._drain_timeout_s, self._loop.call_later
            self._timers += [
                later(drain_s * _WIND_DOWN_SHARE, self._on_wind_down),
                later(drain_s, self.abort),
            ]

    def abort(self) -> None:
        """Cancel what is in flight."""
        if self.level is Level.ABORT:
            return
        self.level = Level.ABORT
        self._on_abort()

    def close(self) -> None:
        """The run has ended; forget the deadline."""
        for timer in self._timers:
            timer.cancel()
        self._loop = None
        self.is_over = True
