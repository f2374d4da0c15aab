"""How far the run is, on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import TextIO

from streamproc.record import CallTally, Tally

_EVERY_S = 0.2
_CALLS = ("retries", "cache_hits", "rate_limited", "circuit_opened")


class Progress:
    """A line on `stream` that follows `tally`; it reads, nobody has to tell it.

    `in_flight`, `unwritten_bytes` and `busy_since_s` are asked when the line is drawn.
    """

    def __init__(
        self,
        stream: TextIO,
        tally: Tally,
        size_bytes: int | None,
        in_flight: Callable[[], int],
        unwritten_bytes: Callable[[], int],
        busy_since_s: Callable[[], float | None],
        calls: Collection[CallTally] = (),
        lag: Callable[[], int | None] = lambda: None,
    ) -> None:
        from tqdm import tqdm  # 80 ms, and only for people

        self._tally = tally
        self._calls = calls
        self._lag = lag
        self._in_flight = in_flight
        self._unwritten_bytes = unwritten_bytes
        self._busy_since_s = busy_since_s
        self._bar = tqdm(
            total=size_bytes,
            unit="B",
            unit_scale=True,
            file=stream,
            leave=False,
            mininterval=0,
            bar_format=None if size_bytes else "{n_fmt}B [{elapsed}, {rate_fmt}{postfix}]",
        )
        self._before = (time.monotonic(), 0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to draw."""
        self._draw()

    def close(self) -> None:
        """Take the line away."""
        if self._timer is not None:
            self._timer.cancel()
        self._bar.close()

    def _draw(self) -> None:
        now, done = time.monotonic(), self._tally.ended
        before, was = self._before
        rate = (done - was) / (now - before) if now > before else 0.0
        self._before = now, done
        parts = [f"{done:,} records", f"{rate:,.0f}/s", f"{self._in_flight()} in flight"]
        parts += [
            f"{count:,} {name.replace('_', ' ')}"
            for name in _CALLS
            if (count := sum(getattr(each, name) for each in self._calls))
        ]
        if self._tally.errors:
            parts.append(f"{self._tally.errors:,} failed")
        if (lag := self._lag()) is not None:
            parts.append(f"{lag:,} behind")
        if (since := self._busy_since_s()) is not None and now - since >= 1:
            parts.append(f"oldest {now - since:.0f} s")
        self._bar.n = self._tally.bytes_in - self._unwritten_bytes()
        self._bar.set_postfix_str(", ".join(parts), refresh=True)
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._draw)
