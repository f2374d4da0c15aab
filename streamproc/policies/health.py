"""What is known of a target's health: which outcome of which call says something about it.

A success is any answer but 5xx: who refuses a request is alive. What a suspect fails of
(`policies.suspects`) is its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from streamproc.errors import CallError
from streamproc.interfaces import Standing
from streamproc.policies.circuit import PROBES, Circuit, CircuitState
from streamproc.policies.doubt import Doubt
from streamproc.policies.outage import Outage
from streamproc.policies.suspects import Suspects

log = logging.getLogger("streamproc")

_NO_EPOCH = -1
_FRESH_S = 5.0  # who answered so lately is not down, if it has too much to do


class Health:
    """Numbers the calls to a target and tells its circuit, if there is one, what is evidence."""

    __slots__ = ("_good_at", "_now", "circuit", "doubt", "outage", "serial", "suspects")

    def __init__(self, circuit: Circuit | None, outage: Outage, now: Callable[[], float]) -> None:
        self.circuit = circuit
        self.outage = outage
        self._now = now
        self.serial = 0  # calls begun, second attempts not counted
        self.suspects = Suspects()
        self.doubt = Doubt(0 if circuit is None else circuit.consecutive)
        self._good_at = -_FRESH_S

    def began(self, standing: Standing) -> None:
        """An attempt begins."""
        circuit = self.circuit
        if standing.is_first:
            self.serial += 1
            if circuit is not None:
                circuit.began()
        standing.serial = self.serial
        if circuit is not None:
            standing.epoch = circuit.epoch
        if self.doubt.exists:
            self.doubt.began(standing)

    def succeeded(self, standing: Standing) -> None:
        """The attempt was answered well."""
        self.suspects.answered(standing)
        self._answered(standing)

    def answering(self, standing: Standing) -> None:
        """The attempt is being answered well: how it ends says nothing any more."""
        self.succeeded(standing)
        standing.epoch = _NO_EPOCH

    def _answered(self, standing: Standing) -> None:
        """An answer came that is no 5xx, whatever it says: the target is up."""
        is_first, standing.is_first = standing.is_first, False
        circuit = self.circuit
        self.doubt.exists = False
        if circuit is not None:
            now = self._good_at = self._now()
            if not circuit.is_closed:
                self.outage.over()
            if circuit.succeeded(standing.epoch, standing.serial, now, is_first=is_first):
                self._tell_state()

    def failed(self, standing: Standing, error: CallError, *, is_adaptive: bool) -> bool:
        """The attempt failed; returns whether this opened the circuit.

        `is_adaptive`: how much the target is asked at once depends on what it can do.
        """
        if error.is_answer:
            if error.throttled:
                self._answered(standing)
            else:
                self.succeeded(standing)
            return False
        now, circuit = self._now(), self.circuit
        is_first, standing.is_first = standing.is_first, False
        is_overload = is_adaptive and error.status == 503 and now < self._good_at + _FRESH_S
        suspects = self.suspects
        is_evidence = error.is_failure and not is_overload and standing not in suspects
        if error.is_failure:
            self.outage.reason = error.message
            self.outage.symptom = str(error.status or error.kind)
        if circuit is None:
            return False
        self.doubt.ended(standing)
        if error.is_failure:
            suspects.failed(standing, self.serial)
            self.doubt.failed()
        if is_evidence and (is_first or circuit.state is CircuitState.HALF_OPEN):
            has_opened = circuit.failed(
                standing.epoch, standing.serial, now,
                best=suspects.best, begun=self.serial, refused=suspects.share(self.serial),
            )  # fmt: skip
            if has_opened:
                self._tell_state()
            return has_opened
        circuit.gave_up(standing.epoch, is_first=is_first)
        return False

    def gave_up(self, standing: Standing) -> None:
        """The attempt ended without evidence: it was cancelled, or never sent."""
        self.doubt.ended(standing)
        if self.circuit is not None:
            self.circuit.gave_up(standing.epoch, is_first=standing.is_first)

    def is_alone(self, standing: Standing) -> bool:
        """Whether others were answered well since the target last asked this call to wait."""
        return standing.refusals > 0 and self.suspects.best > standing.refused_at

    def refused(self, standing: Standing) -> None:
        """The target asked this call to wait."""
        standing.refusals += 1
        standing.refused_at = self.serial

    def advance(self, now: float) -> None:
        """A circuit that was open long enough is half-open."""
        circuit = self.circuit
        if circuit is not None and circuit.state is CircuitState.OPEN and now >= circuit.opens_at:
            circuit.half_open()
            self._tell_state()

    def _tell_state(self) -> None:
        circuit, outage = self.circuit, self.outage
        assert circuit is not None, "it has changed"
        outage.circuit_changed(circuit.state.value)
        match circuit.state:
            case CircuitState.OPEN:
                left_s = circuit.opens_at - self._now()
                more = f" for {left_s:.1f} s: {outage.reason}"
            case CircuitState.HALF_OPEN:
                more = f": {PROBES} calls may try"
            case CircuitState.CLOSED:
                more = ""
        # why nothing happens is asked once, how it goes on only by who wants to know
        is_news = circuit.state is CircuitState.OPEN and circuit.openings == 1
        if is_news:
            more += outage.patience
        level = logging.WARNING if is_news else logging.INFO
        log.log(level, "%s: the circuit is %s%s", outage.place, circuit.state.value, more)

    def is_untroubled(self, now: float) -> bool:
        """Whether a new one would be the same, so that this one can be forgotten."""
        return self.circuit is None or self.circuit.is_untroubled(now)
