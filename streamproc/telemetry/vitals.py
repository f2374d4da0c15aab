"""What another thread may know of a run: readings, what is open, whether its loop turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

from streamproc.telemetry.reading import Reading

PARTS = ("source", "stages", "sink")  # in the order in which they are opened

_BEAT_S = 1.0
_STUCK_S = 10.0
_FRESH_S = 0.2  # whoever asks more often gets the same reading
_PATIENCE_S = 0.5  # then the loop is busy, and the last reading has to do


class Vitals:
    """Made, started and closed in the loop of the run; asked from one other loop.

    `read` is called in the loop of the run, and only when somebody asks.
    """

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._last = read()
        self._read_s = -inf
        self._beat_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._asked: asyncio.Future[None] | None = None
        self.open: list[str] = []

    def start(self) -> None:
        """The loop turns."""
        self._beat_s = time.monotonic()
        self._timer = self._loop.call_later(_BEAT_S, self.start)

    def close(self) -> None:
        """The run is over: what is asked for from here on is its end."""
        if self._timer is not None:
            self._timer.cancel()
        self._take()

    def _take(self) -> None:
        self._last = self._read()
        self._read_s = time.monotonic()

    def _answer(self, asked: asyncio.Future[None], there: asyncio.AbstractEventLoop) -> None:
        try:
            self._take()
        finally:
            with suppress(RuntimeError):  # who asked is gone
                there.call_soon_threadsafe(self._answered, asked)

    def _answered(self, asked: asyncio.Future[None]) -> None:
        self._asked = None
        if not asked.done():
            asked.set_result(None)

    # From the other loop

    @property
    def missing(self) -> list[str]:
        """What is not open yet."""
        return [part for part in PARTS if part not in self.open]

    @property
    def stuck_s(self) -> float:
        """For how long the loop has not turned; 0 if that is not worth a word."""
        still_s = time.monotonic() - self._beat_s
        return still_s if still_s > _STUCK_S else 0.0

    async def reading(self) -> Reading:
        """A fresh one, or the last one while the loop is busy."""
        if time.monotonic() - self._read_s > _FRESH_S and self._asked is None:
            here = asyncio.get_running_loop()
            asked = self._asked = here.create_future()
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._answer, asked, here)
                await asyncio.wait({asked}, timeout=_PATIENCE_S)
        return self._last
