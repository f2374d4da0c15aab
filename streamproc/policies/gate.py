"""The gate of one target: who may call it now, and who waits for that.

One gate for circuit, pause, rate and concurrency, because of the law of starts: a call takes
its place, the permit, the circuit and the token at the same moment, and while it waits for one
of them it holds none of the others (`engines.places`). What a start took, an end gives back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator

from streamproc.errors import CallError, CircuitOpenError, StreamprocError
from streamproc.interfaces import Room, Site, Standing, Visit
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.policies.circuit import Circuit, State
from streamproc.policies.health import Health
from streamproc.policies.outage import Outage
from streamproc.policies.pause import LONG_S, Pause
from streamproc.policies.permits import Permits
from streamproc.waiting import Line, Waiter

_TICK_S = 0.001  # what uvloop's timers can tell apart: shorter ones would keep the loop spinning
_QUIET_S = 1.0  # nobody else came: those whose fault it is may go


class Gate:
    """See the module. `circuit`, `bucket` and `permits` are None where nothing bounds that."""

    __slots__ = (
        "__weakref__", "_arrived_at", "_bucket", "_circuit", "_health", "_is_wanting", "_line",
        "_loop", "_now", "_outage", "_pause", "_permits", "_room", "_site", "_target", "_timer",
        "is_easy",
    )  # fmt: skip

    def __init__(
        self,
        target: Hashable,
        site: Site,
        circuit: Circuit | None,
        bucket: Bucket | StrictBucket | None,
        permits: Permits | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._target = target
        self._site = site
        self._circuit = circuit
        self._bucket = bucket
        self._permits = permits
        self._outage = Outage(target, site, self._now)
        self._health = Health(circuit, self._outage, self._now)
        self._pause = Pause()
        self._line = Line()
        self._room: Room | None = None
        self._arrived_at = 0.0  # who came last
        self._is_wanting = False  # a place, and nothing else
        self._timer: asyncio.TimerHandle | None = None
        self.is_easy = True  # a closed circuit, no pause, and nobody waits

    @property
    def limit(self) -> int | None:
        """Calls at once, at most."""
        return None if self._permits is None else self._permits.limit

    def retire(self) -> bool:
        """See `targets.Retires`."""
        now, bucket, permits = self._now(), self._bucket, self._permits
        if self._line or self._is_wanting or self._pause.lasts_until > now:
            return False
        if bucket is not None and bucket.wait_s(now, bucket.size) > 0:
            return False
        return self._health.is_untroubled(now) and (permits is None or permits.is_fresh)

    # The way in

    def take(self, standing: Standing) -> bool:
        """While the gate `is_easy`: take all that a start takes, if it is there."""
        permits, bucket = self._permits, self._bucket
        if permits is not None and permits.in_flight >= permits.limit:
            return False
        if bucket is not None and not bucket.take(self._now()):
            return False
        if permits is not None:
            standing.cuts = permits.began()
        self._health.began(standing)
        return True

    async def wait(self, standing: Standing, visit: Visit) -> None:
        """Until all that a start takes is taken, a place too.

        Raises `CircuitOpenError` for a call that does not wait for a target which is away,
        `CallError` for one whose target nobody waits for any more.
        """
        self._room = visit.room
        self.is_easy = False
        began_s = self._arrived_at = self._now()
        is_counted = False
        try:
            while True:
                self._advance(self._now())
                if error := self._refusal(standing):
                    raise error
                turn = self._loop.create_future()
                waiter = self._line.join(visit.age, turn, (standing, visit))
                if not is_counted and self._bucket is not None and not self._has_token():
                    is_counted = True
                    self._site.counts.rate_limited += 1
                self.look()
                try:
                    await visit.wait(turn)
                except BaseException:
                    self._line.leave(waiter)
                    if turn.done() and not turn.cancelled() and turn.exception() is None:
                        self._take_back(standing)
                    self.look()
                    raise
                if self._still_holds(standing):
                    return
                self._take_back(standing)
        finally:
            visit.held_s += self._now() - began_s

    def start_next(self) -> bool:
        """See `interfaces.Door`."""
        self._is_wanting = False
        now = self._now()
        waiter = self._next(now)
        if waiter is not None:
            self._start(waiter, now)
        self.look()
        return waiter is not None

    def look(self) -> None:
        """Something may have changed: whoever can start now does, the oldest first."""
        now = self._now()
        self._advance(now)
        while not self._is_wanting and (waiter := self._next(now)) is not None:
            assert self._room is not None, "who waits has told where places come from"
            if self._room.want(waiter.age, self):
                self._start(waiter, now)
            else:
                self._is_wanting = True
        is_closed = self._circuit is None or self._circuit.is_closed
        self.is_easy = is_closed and not self._line and now >= self._pause.lasts_until
        self._outage.waiting(are_waiting=not is_closed and len(self._line) > 0)
        self._set_timer(now)

    def _advance(self, now: float) -> None:
        circuit = self._circuit
        if circuit is not None and circuit.state is State.OPEN and now >= circuit.opens_at:
            circuit.half_open()

    def _has_token(self) -> bool:
        return self._bucket is None or self._bucket.wait_s(self._now()) <= 0

    def _next(self, now: float) -> Waiter | None:
        """Who starts next, None if nobody can."""
        if not self._line or now < self._pause.shut_until:
            return None
        permits, circuit = self._permits, self._circuit
        if permits is not None and permits.in_flight >= permits.limit:
            return None
        if self._bucket is not None and self._bucket.wait_s(now) > 0:
            return None
        if circuit is None or circuit.is_closed:
            return self._line.head()
        if circuit.state is State.HALF_OPEN and circuit.permits:
            return min(self._line, key=self._as_probe)
        if now >= self._arrived_at + _QUIET_S and self._are_all_suspect():
            return self._line.head()  # what becomes of it says nothing about the target
        return None

    def _as_probe(self, waiter: Waiter) -> tuple[bool, int, int]:
        """Different calls in turn, suspects last."""
        standing = waiter.what[0]
        return self._health.is_suspect(standing), standing.probes, waiter.age

    def _are_all_suspect(self) -> bool:
        return all(self._health.is_suspect(waiter.what[0]) for waiter in self._line)

    def _start(self, waiter: Waiter, now: float) -> None:
        standing, visit = waiter.what
        self._line.leave(waiter)
        self._pause.started(now, len(self._line))
        if self._circuit is not None and not self._circuit.is_closed:
            standing.probes += 1
            self._circuit.admit()
        if self._permits is not None:
            standing.cuts = self._permits.began()
        if self._bucket is not None:
            self._bucket.take(now)
        self._health.began(standing)
        visit.granted()
        waiter.turn.set_result(None)

    def _take_back(self, standing: Standing) -> None:
        """It started, and its request was never written."""
        if self._bucket is not None:
            self._bucket.give_back()
        self.gave_up(standing)

    # A connection may have to be opened between start and request

    def postpone(self, standing: Standing) -> None:
        """See `interfaces.WriteGate`."""
        if self._bucket is not None:
            self._bucket.give_back()
            self.look()

    def may_write(self, standing: Standing) -> bool:
        """See `interfaces.WriteGate`."""
        bucket = self._bucket
        return self._still_holds(standing) and (bucket is None or bucket.take(self._now()))

    def _still_holds(self, standing: Standing) -> bool:
        """Whether circuit and pause are as they were when the start was granted."""
        if self._now() < self._pause.lasts_until:
            return False
        return self._circuit is None or self._circuit.epoch == standing.epoch

    # How a call ends

    def succeeded(self, standing: Standing) -> None:
        """It was answered well."""
        if self._permits is not None:
            self._permits.succeeded(standing.cuts, is_first=standing.is_first)
        self._health.succeeded(standing)
        if not self.is_easy:
            self.look()

    def failed(self, standing: Standing, error: CallError) -> None:
        """It failed with `error`, which may or may not be the target's fault.

        Raises `UnavailableError` if the target asks to wait for too long.
        """
        is_adaptive = self._permits is not None and self._permits.is_adaptive
        if self._permits is not None:
            self._permits.failed(standing.cuts, error)
        if self._health.failed(standing, error, is_adaptive=is_adaptive):
            self._site.counts.circuit_opened += 1
            self._refuse()
        try:
            if error.throttled:
                self._refused(standing, error.after_s or 0.0)
        finally:
            self.look()

    def gave_up(self, standing: Standing) -> None:
        """It ended without saying anything about the target."""
        if self._permits is not None:
            self._permits.gave_up()
        self._health.gave_up(standing)
        if not self.is_easy:
            self.look()

    def _refused(self, standing: Standing, after_s: float) -> None:
        """It was asked to come later; so are all others, unless they are answered meanwhile."""
        is_alone = self._health.is_alone(standing)
        self._health.refused(standing)
        if after_s <= 0 or (is_alone and after_s <= LONG_S):
            return
        self._pause.begin(self._now(), after_s)
        if after_s > LONG_S:
            self._refuse()
            self._outage.told_to_wait(after_s)

    # Who does not wait

    def _refusal(self, standing: Standing) -> CallError | None:
        """What a call fails of that does not wait, None if it does."""
        now, circuit, outage = self._now(), self._circuit, self._outage
        is_open = circuit is not None and not circuit.is_closed
        if circuit is not None and circuit.state is State.HALF_OPEN and circuit.permits:
            is_open = False  # it is a probe
        is_paused = self._pause.is_long(now)
        if (is_open and outage.is_given_up) or (is_paused and outage.is_records):
            return outage.unavailable()
        if standing.is_patient and not self._site.has_fallback:
            return None
        if is_paused:
            left_s = self._pause.lasts_until - now
            return CircuitOpenError("throttled", f"{self._target}: not called for {left_s:.0f} s")
        if is_open:
            return CircuitOpenError("connect", f"{self._target}: not called: {outage.reason}")
        return None

    def _refuse(self) -> None:
        for waiter in list(self._line):
            if error := self._refusal(waiter.what[0]):
                waiter.turn.set_exception(error)

    def _end(self, error: StreamprocError | CallError) -> None:
        for waiter in list(self._line):
            waiter.turn.set_exception(error)

    # When to look again

    def _set_timer(self, now: float) -> None:
        at = min(self._moments(now), default=None) if self._line else None
        if self._timer is not None:
            if at is not None and self._timer.when() <= at:
                return  # early is no harm
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(max(at, now + _TICK_S), self._on_timer)

    def _moments(self, now: float) -> Iterator[float]:
        circuit = self._circuit
        if circuit is not None and not circuit.is_closed:
            yield self._outage.ends_at
            if circuit.state is State.OPEN:
                yield circuit.opens_at
            quiet_at = self._arrived_at + _QUIET_S
            if now < quiet_at and self._are_all_suspect():
                yield quiet_at
        if self._pause.shut_until > now:
            yield self._pause.shut_until
        elif self._bucket is not None and (wait_s := self._bucket.wait_s(now)) > 0:
            yield now + wait_s

    def _on_timer(self) -> None:
        self._timer = None
        if (error := self._outage.ended()) is not None:
            self._end(error)
        self.look()
