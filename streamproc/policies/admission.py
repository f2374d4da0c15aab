"""The law of starts as one layer: circuit breaker, Retry-After, rate and concurrency.

They stand inside retry, so that every attempt pays, and a back-off holds nothing. They are one
layer because a call that waits for one of them must not hold the others: see `policies.gate`.
"""

from __future__ import annotations

from collections.abc import Hashable

from streamproc.errors import CallError, StreamprocError
from streamproc.interfaces import Call, Inner, RecheckError, Site, Visit
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import Concurrency, FixedConcurrency
from streamproc.policies.gate import Gate
from streamproc.policies.rate_limit import RateLimit
from streamproc.targets import Targets
from streamproc.types import CallResult
from streamproc.waits import Allowance, Wait


class Admission:
    """The layer. With nothing set it knows pauses only, and that a call needs a place."""

    def __init__(
        self,
        breaker: CircuitBreaker | None = None,
        rate: RateLimit | None = None,
        concurrency: Concurrency | FixedConcurrency | None = None,
    ) -> None:
        self._breaker = breaker
        self._rate = rate
        self._concurrency = concurrency
        self._gates: Targets[Hashable, Gate] | None = None

    @property
    def limits(self) -> dict[Hashable, int | None]:
        """How many calls the targets that are called get at once."""
        gates = (self._gates or {}).items()
        return {target: gate.allowance.limit for target, gate in gates}

    @property
    def waits(self) -> list[Wait]:
        """What the targets' calls wait for now."""
        found = (gate.waits for gate in (self._gates or {}).values())
        return [wait for wait in found if wait is not None]

    @property
    def allowances(self) -> list[Allowance]:
        """What the targets let through now."""
        return [gate.allowance for gate in (self._gates or {}).values()]

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
        gates = self._gates = Targets(lambda target: self._gate(target, site))

        async def admitted(call: Call, visit: Visit) -> CallResult:
            gate, standing = gates[call.target], call.standing
            standing.gate, standing.visit = gate, visit
            while True:
                if not (gate.is_easy and visit.may_start and gate.take(standing)):
                    await gate.wait(standing, visit)
                try:
                    value = await inner(call, visit)
                except RecheckError:
                    gate.gave_up(standing)
                except CallError as error:
                    gate.failed(standing, error)
                    raise
                except StreamprocError:
                    gate.gave_up(standing)
                    raise
                except Exception:  # an answer, if not one that could be used
                    gate.succeeded(standing)
                    raise
                except BaseException:
                    gate.gave_up(standing)
                    raise
                else:
                    gate.succeeded(standing)
                    return value

        return admitted

    def _gate(self, target: Hashable, site: Site) -> Gate:
        return Gate(
            target,
            site,
            self._breaker.circuit() if self._breaker is not None else None,
            self._rate.bucket() if self._rate is not None else None,
            self._concurrency.permits() if self._concurrency is not None else None,
        )
