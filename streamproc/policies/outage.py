"""How long a target may be away, by a clock that runs only while calls wait for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf

from streamproc.errors import CallError, StreamprocError, UnavailableError
from streamproc.interfaces import Site

_RECORDS_S = 30.0  # a target that a record names is not the run's


class Outage:
    """For how many seconds calls have waited for `target`, while it is away.

    One that lasts for `site.max_wait_s` ends the run. Where a record named the target its
    records fail after 30 s, and those that follow at once, until a probe is answered.
    """

    __slots__ = (
        "_before_s", "_limit_s", "_now", "_since", "_site", "_target", "is_given_up",
        "is_records", "reason", "symptom",
    )  # fmt: skip

    def __init__(self, target: Hashable, site: Site, now: Callable[[], float]) -> None:
        self._target = target
        self._site = site
        self._now = now
        self.is_records = bool(getattr(target, "is_from_record", False))
        self._limit_s = min(_RECORDS_S, site.max_wait_s) if self.is_records else site.max_wait_s
        self._since: float | None = None  # calls have been waiting
        self._before_s = 0.0  # how long they had waited until then
        self.reason = ""  # the message of the last failure
        self.symptom = ""  # its status, or kind
        self.is_given_up = False

    @property
    def place(self) -> str:
        """Stage and target, for messages."""
        return self._site.place(self._target)

    @property
    def patience(self) -> str:
        """How long calls wait for it, and how to wait less; empty where a fallback answers."""
        if self._site.has_fallback:
            return ""
        waits = f"; calls wait for it up to {self._limit_s:g} s"
        return (
            waits if self.is_records else f"{waits} (--set {self._site.name}.breaker.max_wait=..)"
        )

    def circuit_changed(self, state: str) -> None:
        """The circuit that guards the target is in another state."""
        self._site.observer.circuit_changed(self._target, state, self.reason)

    def waiting(self, *, are_waiting: bool) -> None:
        """Whether calls wait for it from now on."""
        if are_waiting and self._since is None:
            self._since = self._now()
        elif not are_waiting and self._since is not None:
            self._before_s += self._now() - self._since
            self._since = None

    def over(self) -> None:
        """It answered."""
        self._before_s = 0.0
        self.is_given_up = False
        if self._since is not None:
            self._since = self._now()

    @property
    def ends_at(self) -> float:
        """The moment at which those who wait fail, if nobody is answered before."""
        return inf if self._since is None else self._since + self._limit_s - self._before_s

    def ended(self) -> StreamprocError | CallError | None:
        """What those who wait fail of, None while they may go on waiting."""
        if self._now() < self.ends_at:
            return None
        waited_s = self._before_s + self._now() - (self._since or 0.0)
        self._since, self._before_s = None, 0.0
        if self.is_records:
            self.is_given_up = True
            return self.unavailable()
        return UnavailableError(
            f"{self._site.name}: {self._target} has been unavailable for {waited_s:.0f} s "
            f"(breaker.max_wait is {self._site.max_wait_s:g} s): {self.reason}; what was not "
            "finished is accounted for: start again when the target is back, or let its records "
            f"fail one by one with --set {self._site.name}.breaker=false"
        )

    def unavailable(self) -> CallError:
        """What a record fails of that named the target."""
        reason = f": {self.reason}" if self.reason else ""
        return CallError("unavailable", f"{self._target} is not available{reason}")

    def told_to_wait(self, after_s: float) -> None:
        """It asks for a pause of over 120 s."""
        if self.is_records:
            self.reason = f"it asks to wait for {after_s:g} s (Retry-After)"

    def beyond_patience(self, left_s: float, after_s: float) -> UnavailableError | None:
        """Why the run ends, if calls wait for what is left of a pause of `after_s`."""
        if left_s <= self._site.max_wait_s:
            return None
        return UnavailableError(
            f"{self._site.name}: {self._target} asks to wait for {after_s:g} s (Retry-After), "
            f"longer than breaker.max_wait = {self._site.max_wait_s:g} s; start again then"
        )
