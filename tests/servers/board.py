"""What was asked of the server, and what its behaviours remember from request to request."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

MAX_ARRIVALS = 500_000


class Board:
    """Counts of requests and connections. Arrival times are seconds since the last reset."""

    def __init__(self) -> None:
        self.in_progress = 0
        self.in_progress_by_path: Counter[str] = Counter()
        self.open = 0
        self.reset()

    def reset(self) -> None:
        self.since = time.monotonic()
        self.total = self.accepted = self.dropped = 0
        self.paths: Counter[str] = Counter()
        self.max_in_progress = self.in_progress
        self.max_by_path = Counter(self.in_progress_by_path)
        self.arrivals: deque[list[Any]] = deque(maxlen=MAX_ARRIVALS)
        self.memory: dict[tuple[str, ...], Any] = {}

    def now(self) -> float:
        return time.monotonic() - self.since

    def begin(self, path: str) -> list[Any]:
        """Note a request; its entry is for `end`."""
        self.total += 1
        self.paths[path] += 1
        self.in_progress += 1
        running = self.in_progress_by_path[path] + 1
        self.in_progress_by_path[path] = running
        if self.in_progress > self.max_in_progress:
            self.max_in_progress = self.in_progress
        if running > self.max_by_path[path]:
            self.max_by_path[path] = running
        entry = [round(self.now(), 6), path, None]
        self.arrivals.append(entry)
        return entry

    def end(self, entry: list[Any], status: int | None) -> None:
        path = entry[1]
        entry[2] = status
        self.in_progress -= 1
        self.in_progress_by_path[path] -= 1
        if not self.in_progress_by_path[path]:
            del self.in_progress_by_path[path]

    def recall(self, *key: str, first: Any) -> Any:
        """What is remembered under this key, to be changed in place; `first` if nothing is."""
        return self.memory.setdefault(key, first)

    def stats(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "paths": self.paths,
            "in_progress": self.in_progress,
            "max_in_progress": {"overall": self.max_in_progress, "paths": self.max_by_path},
            "connections": {"accepted": self.accepted, "open": self.open, "dropped": self.dropped},
            "now": self.now(),
            "arrivals": list(self.arrivals),
        }
