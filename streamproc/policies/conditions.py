"""What a start takes besides its place, and an end gives back: circuit, pause, token, permit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamproc.errors import CallError
from streamproc.interfaces import Standing
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.policies.circuit import Circuit, CircuitState
from streamproc.policies.health import Health
from streamproc.policies.pause import LONG_S, Pause
from streamproc.policies.permits import Permits
from streamproc.waits import Allowance, Wait


class Conditions:
    """What a call to one target needs to start: a part that is None, nothing. Nobody waits here."""

    __slots__ = ("_bucket", "_now", "_permits", "circuit", "health", "pause")

    def __init__(
        self,
        health: Health,
        bucket: Bucket | StrictBucket | None,
        permits: Permits | None,
        now: Callable[[], float],
    ) -> None:
        self.health = health
        self.circuit: Circuit | None = health.circuit
        self.pause = Pause()
        self._bucket = bucket
        self._permits = permits
        self._now = now

    @property
    def has_token(self) -> bool:
        """Whether no call has to wait for the rate."""
        return self._bucket is None or self._bucket.wait_s(self._now()) <= 0

    @property
    def is_closed(self) -> bool:
        """Whether the circuit is, as it is where there is none."""
        return self.circuit is None or self.circuit.is_closed

    def wait(self, now: float) -> Wait | None:
        """What calls wait for, if anything but a place: the first of these that is not there."""
        circuit, permits = self.circuit, self._permits
        if circuit is not None and not circuit.is_closed:
            left_s = circuit.opens_at - now if circuit.state is CircuitState.OPEN else None
            symptom = self.health.outage.symptom
            return Wait("circuit_open", left_s=left_s, symptom=symptom, failures=circuit.failures)
        if now < self.pause.lasts_until:
            return Wait("retry_after", left_s=self.pause.lasts_until - now)
        if permits is not None and permits.in_flight >= permits.limit:
            return Wait("concurrency")
        # a token may be there at this moment: calls come for it one by one
        return None if self._bucket is None else Wait("rate_limited")

    def allowance(self, target: str, now: float) -> Allowance:
        """What all of them let through."""
        circuit, bucket, permits = self.circuit, self._bucket, self._permits
        return Allowance(
            target,
            {} if circuit is None else {circuit.state.value: 1},
            None if permits is None else permits.limit,
            None if bucket is None else bucket.available(now),
        )

    def is_silent(self, now: float) -> bool:
        """Whether it is a sign of life that calls wait for: no pause it asked for, no token."""
        if self.is_closed or now < self.pause.lasts_until:
            return False
        return self.circuit is not None and not self.circuit.can_admit

    def is_forgettable(self, now: float) -> bool:
        """Whether new ones would be the same, so that these can be forgotten."""
        bucket, permits = self._bucket, self._permits
        if self.pause.lasts_until > now or not self.health.is_untroubled(now):
            return False
        if bucket is not None and bucket.wait_s(now, bucket.size) > 0:
            return False
        return permits is None or permits.is_fresh

    # A start

    def take(self, standing: Standing) -> bool:
        """Where there is no pause and the circuit is closed: take all, if all is there."""
        permits, bucket = self._permits, self._bucket
        if permits is not None and permits.in_flight >= permits.limit:
            return False
        if bucket is not None and not bucket.take(self._now()):
            return False
        if permits is not None:
            standing.cuts = permits.began()
        self.health.began(standing)
        return True

    def are_met(self, now: float) -> bool:
        """Whether a token and a permit are there, and no pause; the circuit is not asked."""
        if now < self.pause.shut_until:
            return False
        permits, bucket = self._permits, self._bucket
        if permits is not None and permits.in_flight >= permits.limit:
            return False
        return bucket is None or bucket.wait_s(now) <= 0

    def start(self, standing: Standing, now: float, left: int) -> None:
        """Take all, whatever the circuit says; `left` others wait."""
        self.pause.started(now, left)
        if self.circuit is not None and not self.circuit.is_closed:
            standing.probes += 1
            self.circuit.admit()
        if self._permits is not None:
            standing.cuts = self._permits.began()
        if self._bucket is not None:
            self._bucket.take(now)
        self.health.began(standing)

    def take_back(self, standing: Standing) -> None:
        """The call started, and its request was never written: what it took is given back."""
        if self._bucket is not None:
            self._bucket.give_back()
        self.gave_up(standing)

    def still_hold(self, standing: Standing) -> bool:
        """Whether circuit and pause are as they were when the start was granted."""
        if self._now() < self.pause.lasts_until:
            return False
        return self.circuit is None or self.circuit.epoch == standing.epoch

    # A connection may have to be opened between start and request

    def postpone(self) -> bool:
        """Others may have the token meanwhile; whether there is one."""
        if self._bucket is not None:
            self._bucket.give_back()
        return self._bucket is not None

    def may_write(self, standing: Standing) -> bool:
        """Whether the request may be written now, with a token for it."""
        return self.still_hold(standing) and (
            self._bucket is None or self._bucket.take(self._now())
        )

    # An end

    def succeeded(self, standing: Standing) -> None:
        """It was answered well."""
        if self._permits is not None:
            self._permits.succeeded(standing.cuts, is_first=standing.is_first)
        self.health.succeeded(standing)

    def failed(self, standing: Standing, error: CallError) -> bool:
        """It failed with `error`, its own fault or not; whether this opened the circuit."""
        is_adaptive = False
        if self._permits is not None:
            is_adaptive = self._permits.is_adaptive
            self._permits.failed(standing.cuts, error)
        return self.health.failed(standing, error, is_adaptive=is_adaptive)

    def gave_up(self, standing: Standing) -> None:
        """The call ended without evidence about the target: it was cancelled, or never sent."""
        if self._permits is not None:
            self._permits.gave_up()
        self.health.gave_up(standing)

    def refused(self, standing: Standing, after_s: float) -> bool:
        """It was asked to come later; so are all others, unless they are answered meanwhile.

        Returns whether that makes the target unavailable.
        """
        is_alone = self.health.is_alone(standing)
        self.health.refused(standing)
        if after_s <= 0 or (is_alone and after_s <= LONG_S):
            return False
        self.pause.begin(self._now(), after_s)
        return after_s > LONG_S

    # Time

    def advance(self, now: float) -> None:
        """See `Health`."""
        self.health.advance(now)

    def moments(self, now: float) -> Iterator[float]:
        """When more may be there than is now, if nobody calls the target."""
        if self.circuit is not None and self.circuit.state is CircuitState.OPEN:
            yield self.circuit.opens_at
        if self.pause.shut_until > now:
            yield self.pause.shut_until
        elif self._bucket is not None and (wait_s := self._bucket.wait_s(now)) > 0:
            yield now + wait_s
