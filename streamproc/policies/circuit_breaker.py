"""Circuit breaker: a target that is down is left alone, and records wait.

After M. Nygard, "Release It!" (2007). Where other breakers fail fast, this one holds the
records back (backpressure up to the reader): failing fast would pour the whole input into
the dead-letter file within seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Annotated, Any, cast

from msgspec import Meta, Struct

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.interfaces import Gate, Inner, RecheckError, Site, Visit
from streamproc.policies.circuit import Circuit, State
from streamproc.targets import Targets
from streamproc.units import Seconds

Count = Annotated[int, Meta(ge=1)]


class CircuitBreaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opens at `failure_ratio` of at least `min_calls` in `window`, or at `consecutive` in a row.

    It stays open for `open`, twice as long each further time, up to `max_open`. Records
    wait; after `max_wait` without a success the run ends (69), to be resumed.
    """

    window: Seconds = cast("Seconds", 30.0)
    failure_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    min_calls: Count = 20
    consecutive: Count = 10
    open: Seconds = cast("Seconds", 5.0)
    max_open: Seconds = cast("Seconds", 60.0)
    max_wait: Seconds = cast("Seconds", 300.0)

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        doors = Doors(self, site)
        site.gate.is_shut = doors

        async def guarded(call: Any, visit: Visit) -> Any:
            door = doors[call.target]
            circuit = door.circuit
            while True:
                epoch = circuit.epoch if circuit.is_closed else await door.pass_through(visit)
                try:
                    value = await inner(call, visit)
                except RecheckError:
                    door.gave_up(epoch)
                    continue
                except CallError as error:
                    door.failed(epoch, error)
                    raise
                except BaseException:
                    door.gave_up(epoch)
                    raise
                if circuit.succeeded(epoch, door.now()):
                    door.closed()
                return value

        return guarded


def openings(gate: Gate, target: Hashable) -> int:
    """How often the target's circuit has opened, 0 for ever where there is no breaker.

    A layer inside the breaker that made a record wait compares it with what it was before:
    a record that waited through an outage has no permit, however the circuit is by now.
    """
    doors = gate.is_shut
    return doors.openings(target) if isinstance(doors, Doors) else 0


class Doors(Targets[Hashable, "_Door"]):
    """The circuits of a stage, by target; calling it says whether one is open."""

    def __init__(self, breaker: CircuitBreaker, site: Site) -> None:
        super().__init__(lambda target: _Door(breaker, target, site))

    def __call__(self, target: Hashable) -> bool:
        """Whether nobody may call `target` now."""
        door = self.get(target)
        return door is not None and door.circuit.state is State.OPEN

    def openings(self, target: Hashable) -> int:
        """How often the circuit of `target` opened."""
        door = self.get(target)
        return 0 if door is None else door.circuit.openings


class _Door:
    """A circuit with the records that wait before it, first in, first out."""

    def __init__(self, breaker: CircuitBreaker, target: Hashable, site: Site) -> None:
        self.circuit = Circuit(
            window_s=breaker.window,
            failure_ratio=breaker.failure_ratio,
            min_calls=breaker.min_calls,
            consecutive=breaker.consecutive,
            open_s=breaker.open,
            max_open_s=breaker.max_open,
        )
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._max_wait_s = breaker.max_wait
        self._target = target
        self._site = site
        self._line: deque[asyncio.Future[int]] = deque()
        self._end: asyncio.TimerHandle | None = None
        self._last = ""

    def retire(self) -> bool:
        """See `Retires`."""
        return self._is_nobody_waiting() and self.circuit.is_untroubled(self.now())

    async def pass_through(self, visit: Visit) -> int:
        """Wait until a call may go through; returns its epoch."""
        circuit = self.circuit
        if self._is_nobody_waiting() and circuit.admit():
            return circuit.epoch
        if self._site.has_fallback:
            raise CircuitOpenError("connect", f"{self._target}: not called: {self._last}")
        began_s = self.now()
        try:
            while True:
                since = circuit.open_since
                if since is not None and self.now() - since >= self._max_wait_s:
                    raise self._unavailable(since)
                epoch = await self._queue(visit)
                # Between its release and now it waited for a place among those that execute
                # calls, and the circuit may have opened again.
                if epoch == circuit.epoch:
                    return epoch
                if self._is_nobody_waiting() and circuit.admit():
                    return circuit.epoch
        finally:
            visit.held_s += self.now() - began_s

    async def _queue(self, visit: Visit) -> int:
        turn = self.loop.create_future()
        self._line.append(turn)
        try:
            epoch: int = await visit.wait(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.gave_up(turn.result())
            raise
        return epoch

    def _is_nobody_waiting(self) -> bool:
        while self._line and self._line[0].done():  # it was cancelled
            self._line.popleft()
        return not self._line

    def failed(self, epoch: int, error: CallError) -> None:
        """A call failed with `error`, which may or may not be the target's fault."""
        now = self.now()
        if error.is_outage:
            self._last = error.message
            if self.circuit.failed(epoch, now):
                self._opened()
        elif error.throttled or isinstance(error, CircuitOpenError):
            self.gave_up(epoch)
        elif self.circuit.succeeded(epoch, now):  # it answered, if not what one hoped for
            self.closed()

    def gave_up(self, epoch: int) -> None:
        """A call ended without saying anything."""
        if self.circuit.gave_up(epoch):
            self._let_in()

    def closed(self) -> None:
        """All who wait go on."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._let_in()

    def _opened(self) -> None:
        self._site.counts.circuit_opened += 1
        self.loop.call_later(self.circuit.delay_s, self._half_open)
        if self._end is None and not self._site.has_fallback:
            self._end = self.loop.call_later(self._max_wait_s, self._give_up)

    def _half_open(self) -> None:
        self.circuit.half_open()
        self._let_in()

    def _let_in(self) -> None:
        """As many as there are permits for."""
        while not self._is_nobody_waiting() and self.circuit.admit():
            self._line.popleft().set_result(self.circuit.epoch)

    def _give_up(self) -> None:
        since = self.circuit.open_since
        assert since is not None, "closing the circuit stops this timer"
        for turn in self._line:
            if not turn.done():
                turn.set_exception(self._unavailable(since))
        self._line.clear()

    def _unavailable(self, since: float) -> UnavailableError:
        return UnavailableError(
            f"{self._site.name}: {self._target} has been unavailable for "
            f"{self.now() - since:.0f} s (breaker.max_wait is {self._max_wait_s:g} s): "
            f"{self._last}; what was not finished is accounted for, start again when the "
            "target is back"
        )
