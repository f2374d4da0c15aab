"""Circuit breaker: a target that is down is left alone, and records wait.

Where other breakers fail fast, this one holds the records back (backpressure up to the
reader): failing fast would pour the whole input into the dead-letter file within seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Annotated, Any, cast

from msgspec import Meta, Struct

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.interfaces import Inner, RecheckError, Site, Visit
from streamproc.policies.circuit import PROBES, Circuit, State
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
        doors: dict[str, _Door] = {}

        def is_open(target: str) -> bool:
            door = doors.get(target)
            return door is not None and door.circuit.state is State.OPEN

        site.gate.is_shut = is_open

        async def guarded(call: Any, visit: Visit) -> Any:
            door = doors.get(call.target)
            if door is None:
                door = doors[call.target] = _Door(self, call.target, site)
            circuit = door.circuit
            while True:
                if circuit.state is State.CLOSED:
                    epoch = circuit.epoch
                else:
                    epoch = await door.pass_through(visit)
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
                if circuit.succeeded(epoch, door.loop.time()):
                    door.closed()
                return value

        return guarded


class _Door:
    """A circuit with the records that wait before it, first in, first out."""

    def __init__(self, breaker: CircuitBreaker, target: str, site: Site) -> None:
        self.circuit = Circuit(
            window_s=breaker.window,
            failure_ratio=breaker.failure_ratio,
            min_calls=breaker.min_calls,
            consecutive=breaker.consecutive,
            open_s=breaker.open,
            max_open_s=breaker.max_open,
        )
        self.loop = asyncio.get_running_loop()
        self._max_wait_s = breaker.max_wait
        self._target = target
        self._site = site
        self._line: deque[asyncio.Future[int]] = deque()
        self._end: asyncio.TimerHandle | None = None
        self._last = ""

    async def pass_through(self, visit: Visit) -> int:
        """Wait until a call may go through; returns its epoch."""
        circuit = self.circuit
        if not any(not turn.done() for turn in self._line) and circuit.admit():
            return circuit.epoch
        if self._site.has_fallback:
            raise CircuitOpenError("connect", f"{self._target}: not called: {self._last}")
        since = circuit.open_since
        if since is not None and self.loop.time() - since >= self._max_wait_s:
            raise self._unavailable()
        turn = self.loop.create_future()
        self._line.append(turn)
        began_s = self.loop.time()
        try:
            epoch: int = await visit.wait(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.gave_up(turn.result())
            raise
        finally:
            visit.held_s += self.loop.time() - began_s
        return epoch

    def failed(self, epoch: int, error: CallError) -> None:
        """A call failed with `error`, which may or may not be the target's fault."""
        now = self.loop.time()
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
            self._let_in(1)

    def closed(self) -> None:
        """All who wait go on."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._let_in(len(self._line))

    def _opened(self) -> None:
        self._site.counts.circuit_opened += 1
        self.loop.call_later(self.circuit.delay_s, self._half_open)
        if self._end is None and not self._site.has_fallback:
            self._end = self.loop.call_later(self._max_wait_s, self._give_up)

    def _half_open(self) -> None:
        self.circuit.half_open()
        self._let_in(PROBES)

    def _let_in(self, count: int) -> None:
        while count and self._line:
            turn = self._line.popleft()
            if turn.done():
                continue
            if not self.circuit.admit():
                self._line.appendleft(turn)
                return
            turn.set_result(self.circuit.epoch)
            count -= 1

    def _give_up(self) -> None:
        for turn in self._line:
            if not turn.done():
                turn.set_exception(self._unavailable())
        self._line.clear()

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(
            f"{self._site.name}: {self._target} has been unavailable for {self._max_wait_s:g} s "
            f"(breaker.max_wait): {self._last}; what was not finished is accounted for, start "
            "again when the target is back"
        )
