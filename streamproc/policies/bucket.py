"""Token buckets. Time is an argument; nothing here waits."""

from __future__ import annotations

from collections import deque


class Bucket:
    """Continuous refill, starts full. Asked for more than it holds it goes into debt."""

    def __init__(self, per_second: float, size: float) -> None:
        self._per_second = per_second
        self._size = size
        self._tokens = size
        self._at: float | None = None

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take `cost` tokens if they are there."""
        self._refill(now)
        if self._tokens < min(cost, self._size) - 1e-9:
            return False
        self._tokens -= cost
        return True

    def give_back(self, now: float, cost: float = 1.0) -> None:
        """They were not used."""
        self._refill(now)
        self._tokens = min(self._size, self._tokens + cost)

    def wait_s(self, now: float, cost: float = 1.0) -> float:
        """How long until `take` succeeds, if nobody else takes."""
        self._refill(now)
        return max(0.0, (min(cost, self._size) - self._tokens) / self._per_second)

    def _refill(self, now: float) -> None:
        if self._at is not None and now > self._at:
            self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_second)
        self._at = now if self._at is None else max(now, self._at)


class StrictBucket:
    """Never more than `count` in any `period_s`: a log of the last ones."""

    def __init__(self, count: int, period_s: float) -> None:
        self._taken: deque[float] = deque(maxlen=count)
        self._period_s = period_s

    def take(self, now: float) -> bool:
        """Take a token if it is there."""
        if self.wait_s(now) > 0:
            return False
        self._taken.append(now)
        return True

    def give_back(self, now: float) -> None:
        """It was not used; yet it may have been seen: strict stays strict."""

    def wait_s(self, now: float) -> float:
        """How long until `take` succeeds, if nobody else takes."""
        if len(self._taken) < (self._taken.maxlen or 0):
            return 0.0
        return max(0.0, self._taken[0] + self._period_s - now)
