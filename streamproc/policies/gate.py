"""The gate of one target: who may call it now, and who waits for that.

One gate for circuit, pause, rate and concurrency, because of the law of starts: a call takes
its place, the permit, the circuit and the token at the same moment, and while it waits for one
of them it holds none of the others (`engines.capacity`, `policies.conditions`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterator
from math import inf

from msgspec import structs

from streamproc.call_metrics import label_of
from streamproc.errors import CallError, CircuitOpenError, StreamprocError
from streamproc.interfaces import Room, Site, Standing, Visit
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.policies.circuit import Circuit
from streamproc.policies.conditions import Conditions
from streamproc.policies.health import Health
from streamproc.policies.outage import Outage
from streamproc.policies.permits import Permits
from streamproc.waiting import Waiter, WaitQueue
from streamproc.waits import Allowance, Wait

log = logging.getLogger("streamproc")

_TICK_S = 0.001  # what uvloop's timers can tell apart: shorter ones would keep the loop spinning
_NEWS_S = 1.0  # by which a pause has to be longer than the one that lasts to be told
_QUIET_S = 1.0  # nobody else came: those whose fault it is may go


class Gate:
    """See the module. `circuit`, `bucket` and `permits` are None where nothing bounds that."""

    __slots__ = (
        "__weakref__", "_arrived_at", "_conditions", "_is_wanting", "_line", "_loop", "_now",
        "_observer", "_outage", "_room", "_site", "_suspects", "_target", "_timer", "_timer_at",
        "is_easy", "take",
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
        self._site, self._observer = site, site.observer
        self._outage = Outage(target, site, self._now)
        health = Health(circuit, self._outage, self._now)
        self._suspects = health.suspects
        self._conditions = Conditions(health, bucket, permits, self._now)
        self._line = WaitQueue()
        self._room: Room | None = None
        self._arrived_at, self._is_wanting = 0.0, False  # who came last; a place, nothing else
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self.is_easy = True  # a closed circuit, no pause, and nobody waits
        self.take = self._conditions.take  # for a call with a place, while `is_easy`

    @property
    def allowance(self) -> Allowance:
        """What it lets through now."""
        return self._conditions.allowance(label_of(self._target), self._now())

    @property
    def waits(self) -> Wait | None:
        """What its calls wait for now, None if for nothing, or for a place only."""
        if not self._line or self._is_wanting:
            return None
        wait = self._conditions.wait(self._now())
        stage, target = self._site.name, str(self._target)
        return wait and structs.replace(wait, waiting=len(self._line), stage=stage, target=target)

    def retire(self) -> bool:
        """See `targets.Retires`."""
        is_free = not (self._line or self._is_wanting)
        return is_free and self._conditions.is_forgettable(self._now())

    # The way in

    async def wait(self, standing: Standing, visit: Visit) -> None:
        """Until all that a start takes is taken, a place too.

        Raises `CircuitOpenError` for a call that does not wait for a target which is away,
        `CallError` or `UnavailableError` for one whose target nobody waits for any more.
        """
        self._room = visit.room
        self.is_easy = False
        began_s = self._arrived_at = self._now()
        wait, is_counted = self._conditions.wait(began_s), False
        try:
            while True:
                self._conditions.advance(self._now())
                if error := self._refusal(standing):
                    raise error
                if not is_counted and (is_counted := not self._conditions.has_token):
                    self._observer.rate_limited()
                turn = self._loop.create_future()
                waiter = self._join(standing, visit, turn)
                try:
                    await visit.wait(turn)
                except BaseException:
                    self._line.leave(waiter)
                    if turn.done() and not turn.cancelled() and turn.exception() is None:
                        self._conditions.take_back(standing)
                    self.look()
                    raise
                if self._conditions.still_hold(standing):
                    return
                self._conditions.take_back(standing)
        finally:
            waited_s = self._now() - began_s
            visit.held_s += waited_s
            self._observer.waited(self._target, wait, waited_s, for_rate=is_counted)

    def _join(self, standing: Standing, visit: Visit, turn: asyncio.Future[None]) -> Waiter:
        """Wait in line; a place that the visit still has goes to the oldest call, maybe its own."""
        waiter = self._line.join(visit.age, turn, (standing, visit))
        first = self._next(self._now())
        if first is not None and not self._is_wanting:
            self._is_wanting = True
            visit.room.queue(first.age, self)
        visit.release()
        visit.room.fill()
        self.look()
        return waiter

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
        self._conditions.advance(now)
        while not self._is_wanting and (waiter := self._next(now)) is not None:
            assert self._room is not None, "who waits has told where places come from"
            if self._room.want(waiter.age, self):
                self._start(waiter, now)
            else:
                self._is_wanting = True
        is_closed, are_waiting = self._conditions.is_closed, len(self._line) > 0
        is_sure = not (are_waiting or self._conditions.health.doubt.exists)
        self.is_easy = is_closed and is_sure and now >= self._conditions.pause.lasts_until
        self._outage.waiting(are_waiting=are_waiting and self._conditions.is_silent(now))
        self._set_timer(now, are_waiting=are_waiting)

    def _next(self, now: float) -> Waiter | None:
        """Who starts next, None if nobody can."""
        if not self._line or not self._conditions.are_met(now):
            return None
        circuit = self._conditions.circuit
        if circuit is None or circuit.is_closed:
            head = self._line.head()
            return head if head and self._conditions.health.doubt.admits(head.what[0]) else None
        if circuit.can_admit:
            return min(self._line, key=lambda waiter: self._suspects.rank(waiter.what[0]))
        if now >= self._arrived_at + _QUIET_S and self._is_nobodys_news():
            return self._line.head()  # what becomes of it says nothing about the target
        return None

    def _is_nobodys_news(self) -> bool:
        circuit = self._conditions.circuit
        row = 0 if circuit is None else circuit.consecutive
        return self._suspects.explain((waiter.what[0] for waiter in self._line), row)

    def _start(self, waiter: Waiter, now: float) -> None:
        standing, visit = waiter.what
        self._line.leave(waiter)
        self._conditions.start(standing, now, len(self._line))
        visit.granted()
        waiter.turn.set_result(None)

    def postpone(self, standing: Standing) -> None:
        """See `interfaces.WriteGate`."""
        if self._conditions.postpone() and not self.is_easy:
            self.look()

    def may_write(self, standing: Standing) -> bool:
        """See `interfaces.WriteGate`."""
        return self._conditions.may_write(standing)

    # How a call ends

    def answering(self, standing: Standing) -> None:
        """See `interfaces.WriteGate`."""
        self._conditions.health.answering(standing)
        if not self.is_easy:
            self.look()

    def succeeded(self, standing: Standing) -> None:
        """It was answered well."""
        self._conditions.succeeded(standing)
        if not self.is_easy:
            self.look()

    def failed(self, standing: Standing, error: CallError) -> None:
        """It failed with `error`.

        Raises `UnavailableError` if the target asks to wait for longer than anybody does, and
        what the call fails of if it does not wait for a target that asks for long.
        """
        if self._conditions.failed(standing, error):
            self._refuse()
        try:
            if error.throttled:
                self._throttled(standing, error)
        finally:
            self.look()

    def _throttled(self, standing: Standing, error: CallError) -> None:
        after_s = error.after_s or 0.0
        pause, now = self._conditions.pause, self._now()
        left_s = max(pause.lasts_until - now, 0.0)
        is_long = self._conditions.refused(standing, after_s)
        if pause.lasts_until - now > (left_s + _NEWS_S if left_s else 0.0):
            why = f"Retry-After, {error.status}" if error.status else "streamproc.Retry"
            self._observer.paused(self._target, after_s)
            log.info("%s: paused for %.1f s (%s)", self._outage.place, after_s, why)
        if is_long:
            self._outage.told_to_wait(after_s)
            self._refuse()
            if refusal := self._refusal(standing):
                raise refusal from error

    def gave_up(self, standing: Standing) -> None:
        """It ended without saying anything about the target."""
        self._conditions.gave_up(standing)
        if not self.is_easy:
            self.look()

    def _refusal(self, standing: Standing) -> CallError | StreamprocError | None:
        """What a call fails of that does not wait, or would wait too long; None if it waits."""
        now, circuit, outage = self._now(), self._conditions.circuit, self._outage
        is_open = not self._conditions.is_closed
        if circuit is not None and circuit.can_admit:
            is_open = False  # it is a probe
        pause = self._conditions.pause
        is_paused, left_s = pause.is_long(now), pause.left_s(now)
        if (is_open and outage.is_given_up) or (is_paused and outage.is_records):
            return outage.unavailable()
        if standing.is_patient and not self._site.has_fallback:
            return outage.beyond_patience(left_s, pause.length_s) if is_paused else None
        if is_paused:
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

    def _set_timer(self, now: float, *, are_waiting: bool) -> None:
        at = min(self._moments(now), default=inf) if are_waiting else inf
        if self._timer is not None and self._timer_at <= at < inf:
            return  # early is no harm
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at < inf:
            self._timer_at = max(at, now + _TICK_S)
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _moments(self, now: float) -> Iterator[float]:
        yield from self._conditions.moments(now)
        if not self._conditions.is_closed:
            yield self._outage.ends_at
            quiet_at = self._arrived_at + _QUIET_S
            if now < quiet_at and self._is_nobodys_news():
                yield quiet_at

    def _on_timer(self) -> None:
        self._timer = None
        if (error := self._outage.ended()) is not None:
            self._end(error)
        self.look()
