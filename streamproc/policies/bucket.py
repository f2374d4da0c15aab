"""Token buckets, as in RFC 2697, and a sliding log for who counts strictly.

Moments are an argument, in seconds by any clock that runs evenly; nothing here waits.

Tokens are taken by whoever begins a call, at the moment when it begins: a token that was
set aside for a record which then had to wait for its place would be spent late, together
with those of others.
"""

from __future__ import annotations

from collections import deque

_ROUNDING = 1e-9


class Bucket:
    """`per_second` tokens come in, `size` of them are kept. A new one is full.

    Who asks a full one for more than `size` gets it, and leaves a debt that refills first.

    Up to one token more than `size` piles up, never a whole one: who looks late, because
    timers are late, misses nothing, and no more than `size` are there at once.
    """

    __slots__ = ("_at", "_most", "_per_second", "_tokens", "size")

    def __init__(self, per_second: float, size: int) -> None:
        self.size = size
        self._per_second = per_second
        self._most = size + 1 - 1e-6
        self._tokens = float(size)
        self._at: float | None = None

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take `cost` tokens if they are there, or if the bucket is full."""
        at = self._at
        tokens = self._tokens
        if at is None:
            self._at = now
        elif now > at:
            tokens += (now - at) * self._per_second
            if tokens > self._most:  # noqa: PLR1730 - min() costs more than all the rest
                tokens = self._most
            self._at = now
        if tokens + _ROUNDING < cost and tokens + _ROUNDING < self.size:
            self._tokens = tokens
            return False
        self._tokens = tokens - cost
        return True

    def give_back(self) -> None:
        """The token that was taken last was not used."""
        self._tokens += 1.0

    def wait_s(self, now: float, cost: float = 1.0) -> float:
        """Seconds until `take` succeeds, if nobody else takes."""
        tokens = self._tokens
        if self._at is not None:
            tokens += (now - self._at) * self._per_second
        lacks = min(cost, self.size) - tokens
        return lacks / self._per_second if lacks > _ROUNDING else 0.0

    def available(self, now: float) -> float:
        """Tokens that are there; below 0 it is in debt."""
        since_s = 0.0 if self._at is None else now - self._at
        return min(self._tokens + since_s * self._per_second, float(self.size))


class StrictBucket:
    """Never more than `size` tokens in any window of `period_s`: it logs when they were taken."""

    __slots__ = ("_period_s", "_taken", "size")

    def __init__(self, size: int, period_s: float) -> None:
        self.size = size
        self._taken: deque[float] = deque(maxlen=size)
        self._period_s = period_s

    def take(self, now: float) -> bool:
        """Take a token if it is there."""
        taken = self._taken
        if len(taken) == self.size and now < taken[0] + self._period_s:
            return False
        taken.append(now)
        return True

    def give_back(self) -> None:
        """The token that was taken last was not used."""
        if self._taken:
            self._taken.pop()

    def wait_s(self, now: float, count: int = 1) -> float:
        """Seconds until `count` tokens are there, if nobody else takes."""
        lacks = len(self._taken) + min(count, self.size) - self.size
        return max(0.0, self._taken[lacks - 1] + self._period_s - now) if lacks > 0 else 0.0

    def available(self, now: float) -> float:
        """Tokens that are there."""
        return float(self.size - sum(at + self._period_s > now for at in self._taken))
