"""Records that name the targets: what is kept for them is bounded, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from simulated import BUSY, OUTAGE, Asked, Stay, now, settle, site

from streamproc.errors import CallError
from streamproc.interfaces import Inner, Layer
from streamproc.policies.admission import Admission
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import Concurrency, FixedConcurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.targets import MAX_TARGETS, Targets
from streamproc.trials.clock import simulate
from streamproc.units import Rate

LAYERS: dict[str, Callable[[], Layer]] = {
    "breaker": CircuitBreaker,
    "rate": lambda: Admission(rate=RateLimit(limit=Rate(1000))),
    "strict rate": lambda: Admission(rate=RateLimit(limit=Rate(1000), strict=True)),
    "pause": Admission,
    "slots": lambda: FixedConcurrency(3),
    "adaptive": lambda: Concurrency(max=100),
}
MANY = 3 * MAX_TARGETS


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Targets[Any, Any]]:
    """All that is kept per target."""
    found: list[Targets[Any, Any]] = []
    init = Targets.__init__

    def note(self: Any, *args: Any) -> None:
        found.append(self)
        init(self, *args)

    monkeypatch.setattr(Targets, "__init__", note)
    return found


async def nothing(call: Any, visit: Any) -> str:
    visit.begin(None)
    return "ok"


async def ask(call: Inner, target: str) -> Any:
    return await call(Asked(target), Stay())


async def ask_many(call: Inner, *, error: type[BaseException] | None = None) -> None:
    """As many as fit several times; each of them has time to be forgotten."""
    for k in range(MANY):
        try:
            await ask(call, f"t{k}")
        except CallError:
            assert error is CallError
        if not k % 100:
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("layer", LAYERS)
def test_idle_targets_are_forgotten(layer: str, made: list[Targets[Any, Any]]) -> None:
    async def main() -> None:
        call = LAYERS[layer]().wrap(nothing, site())
        await ask_many(call)
        (kept,) = made
        assert len(kept) <= MAX_TARGETS
        gc.collect()
        assert len(kept.alive()) <= MAX_TARGETS

    simulate(main())


Remembers = Callable[[Inner], Awaitable[None]]


class Moody:
    """An inner call that raises what it has for a target, or waits."""

    def __init__(self) -> None:
        self.errors: dict[str, CallError] = {}
        self.waits = asyncio.Event()
        self.begun: list[tuple[str, float]] = []
        self.in_flight = self.most = 0

    async def __call__(self, call: Any, visit: Any) -> str:
        visit.begin(None)
        self.begun.append((call.target, now()))
        if call.target == "slow":
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            await self.waits.wait()
            self.in_flight -= 1
        if call.target in self.errors:
            raise self.errors[call.target]
        return "ok"


def test_an_open_circuit_stays_open() -> None:
    async def main() -> None:
        moody = Moody()
        call = CircuitBreaker(open=1000, max_open=1000).wrap(moody, site())
        moody.errors["bad"] = OUTAGE
        for _ in range(10):
            with pytest.raises(CallError):
                await ask(call, "bad")
        await ask_many(call)
        waiting = asyncio.create_task(ask(call, "bad"))
        await settle()
        assert moody.begun.count(("bad", now())) == 0
        assert not waiting.done()
        waiting.cancel()

    simulate(main())


def test_failures_are_counted_on() -> None:
    """Nine of ten in a row, then many others, then the tenth."""

    async def main() -> None:
        moody, where = Moody(), site()
        call = CircuitBreaker().wrap(moody, where)
        moody.errors["bad"] = OUTAGE
        for _ in range(9):
            with pytest.raises(CallError):
                await ask(call, "bad")
        await ask_many(call)
        with pytest.raises(CallError):
            await ask(call, "bad")
        assert where.counts.circuit_opened == 1

    simulate(main())


def test_a_pause_goes_on() -> None:
    async def main() -> None:
        moody = Moody()
        call = Admission().wrap(moody, site())
        moody.errors["busy"] = CallError("throttled", "429", throttled=True, after_s=100.0)
        with pytest.raises(CallError):
            await ask(call, "busy")
        until = now() + 100
        del moody.errors["busy"]
        await ask_many(call)
        await ask(call, "busy")
        assert moody.begun[-1][1] >= until

    simulate(main())


@pytest.mark.parametrize("strict", [False, True])
def test_a_token_is_spent_once(strict: bool) -> None:
    async def main() -> None:
        moody = Moody()
        call = Admission(rate=RateLimit(limit=Rate(0.01, 100.0), strict=strict)).wrap(moody, site())
        await ask(call, "paid")
        began = now()
        await ask_many(call)
        await ask(call, "paid")
        assert moody.begun[-1][1] >= began + 100

    simulate(main())


@pytest.mark.parametrize("layer", [FixedConcurrency(3), Concurrency(min=3, max=3, start=3)])
def test_slots_that_are_taken_stay_taken(layer: Layer) -> None:
    async def main() -> None:
        moody = Moody()
        call = layer.wrap(moody, site())
        slow = [asyncio.create_task(ask(call, "slow")) for _ in range(2)]
        await settle()
        await ask_many(call)
        slow += [asyncio.create_task(ask(call, "slow")) for _ in range(5)]
        await settle()
        assert moody.in_flight == 3
        moody.waits.set()
        await asyncio.gather(*slow)
        assert moody.most == 3

    simulate(main())


def test_what_was_learnt_of_a_target_is_kept(made: list[Targets[Any, Any]]) -> None:
    async def main() -> None:
        moody = Moody()
        call = Concurrency(max=100).wrap(moody, site())
        moody.errors["busy"] = BUSY
        with pytest.raises(CallError):
            await ask(call, "busy")
        await ask_many(call)
        assert made[0]["busy"].allowance.limit == 9

    simulate(main())


def test_a_state_in_use_is_found_again() -> None:
    """It went from among the kept ones; who holds on to it and who asks for it share it."""

    class State:
        def retire(self) -> bool:
            return True

    made: list[int] = []

    def make(key: int) -> State:
        made.append(key)
        return State()

    states: Targets[int, State] = Targets(make, 10)
    held = states[0]
    for key in range(1, 100):
        states[key].retire()
    assert len(states) <= 10
    assert 0 not in states
    assert states[0] is held
    assert made == list(range(100))
    assert len(states.alive()) <= 11


def test_busy_states_cost_few_looks() -> None:
    """While none can go, each is looked at a few times, not by every new one."""
    looks = 0

    class State:
        def retire(self) -> bool:
            nonlocal looks
            looks += 1
            return False

    states: Targets[int, State] = Targets(lambda key: State(), 10)
    for key in range(10_000):
        assert states[key] is states[key]
    assert len(states) == 10_000
    assert looks < 20_000
