"""A scenario in simulated time: the real pipeline, and a world where connections would be."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from simulation.scenarios import ATTEMPT_S, Asking, Scenario
from simulation.world import World
from streamproc.assembly.pipeline import Pipeline
from streamproc.codec import decode
from streamproc.config.load import resolve
from streamproc.engines import headroom, sweeper
from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.run_delay import RunDelay
from streamproc.engines.state import ABANDONED, CALLING, ENDING
from streamproc.engines.sweeper import Sweeper
from streamproc.enrichers import http
from streamproc.errors import StreamprocError
from streamproc.http import choice
from streamproc.memory import SMALL_BYTES, Memory
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.shutdown import Shutdown
from streamproc.testing import MemorySink, MemorySource
from streamproc.trials.clock import simulate

_OVER = (ENDING, ABANDONED)


@dataclass
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    world: World
    lines: list[dict[str, Any]]
    error: BaseException | None
    summary: Any
    seconds: float
    offered: list[float]  # when each record could be read
    written: dict[int, float]  # when
    places: CapacityLimiter
    memory: Memory


class TimedSink(MemorySink):
    """Knows when each record came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[int, float] = {}

    async def write(self, data: bytes) -> None:
        await super().write(data)
        at = asyncio.get_running_loop().time()
        self.times |= {decode(line)["n"]: at for line in data.splitlines()}


def play(scenario: Scenario, monkeypatch: Any) -> Outcome:
    """Run it in simulated time."""
    with monkeypatch.context() as patch:
        outcome: Outcome = simulate(_run(scenario, patch))
    return outcome


async def _run(scenario: Scenario, monkeypatch: Any) -> Outcome:
    random.seed(scenario.seed)
    loop = asyncio.get_running_loop()
    world = World(scenario.services, loop.time)

    def open_client(wanted: str, options: Any, target: Any) -> tuple[Any, str]:
        return world.client(target.host.removesuffix(".test"), options), "simulated"

    monkeypatch.setattr(choice, "open_client", open_client)
    monkeypatch.setattr(sweeper, "_TICK_S", (0.25, 0.25))  # an hour has 14,400 of them
    monkeypatch.setattr(headroom, "_TICK_S", 0.25)
    monkeypatch.setattr(RunDelay, "since_last_s", lambda self: 0.0)  # nobody runs beside it
    monkeypatch.setattr(http, "LARGE_BYTES", SMALL_BYTES)
    places = _made(CapacityLimiter, monkeypatch)
    sweepers = _made(Sweeper, monkeypatch)
    windows = _made(CreditLimit, monkeypatch)
    pipeline = Pipeline.from_settings(resolve(_settings_of(scenario)))
    shutdown = Shutdown(25.0)
    for after_s in scenario.signals:
        loop.call_later(after_s, shutdown.request, 2)
    for after_s, turns in scenario.interrupts:
        loop.call_later(after_s, _interrupt, sweepers, turns)
    offered: list[float] = []
    sink = TimedSink()
    began = loop.time()
    error: BaseException | None = None
    try:
        summary = await pipeline.run(_source(scenario, offered), sink, shutdown=shutdown)
    except StreamprocError as raised:
        error, summary = raised, raised.summary  # type: ignore[attr-defined]
    return Outcome(
        scenario,
        world,
        list(sink.records),
        error,
        summary,
        loop.time() - began,
        offered,
        sink.times,
        places[-1],
        windows[-1].memory,
    )


def _made(kind: type, monkeypatch: Any) -> list[Any]:
    """All that are made of a `kind` from now on."""
    made: list[Any] = []
    init: Callable[..., None] = kind.__init__  # type: ignore[misc]

    def note(self: Any, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        made.append(self)

    monkeypatch.setattr(kind, "__init__", note)
    return made


def _settings_of(scenario: Scenario) -> dict[str, Any]:
    tables = []
    for k, asks in enumerate(scenario.stages):
        names = [f"s{k}" if len(asks) == 1 else f"s{k}{each.host}" for each in asks]
        made = [_stage(*each, scenario) for each in zip(names, asks, strict=True)]
        tables.append(made[0] if len(made) == 1 else {"name": f"s{k}", "all": made})
    return {
        "stage": tables,
        "concurrency": scenario.concurrency,
        "ordered": scenario.ordered,
        "drain_timeout": 25.0,
        "max_memory": scenario.max_memory,
    }


def _stage(name: str, asking: Asking, scenario: Scenario) -> dict[str, Any]:
    url, more = f"http://{asking.host}.test", dict[str, Any]()
    if asking.is_bulk:
        asks: dict[str, Any] = {"url": f"{url}/all", "json": {"id": "{asked}"}}
        if not asking.posts and asking.policies.get("retry") is not False:
            more = {"retry": {"idempotent": True}}
    else:
        asks = {"url": f"{url}/{{asked}}", "method": "POST" if asking.posts else "GET"}
    if scenario.services[asking.host].redirects:
        asks["redirects"] = True
    return {"name": name, "http": asks, "timeout": ATTEMPT_S, **asking.policies, **more}


def _source(scenario: Scenario, offered: list[float]) -> MemorySource:
    loop = asyncio.get_running_loop()
    records = [{"n": n, "asked": scenario.asked(n)} for n in range(scenario.records)]
    if not scenario.breaks:
        offered += [loop.time()] * len(records)
        return MemorySource(records)

    async def with_breaks() -> AsyncIterator[dict[str, int]]:
        for record in records:
            for before, for_s in scenario.breaks:
                if record["n"] == before:
                    await asyncio.sleep(for_s)
            offered.append(loop.time())
            yield record

    return MemorySource(with_breaks())


def _interrupt(sweepers: list[Sweeper], turns: int) -> None:
    """After so many turns of the loop the time of some call, or of some record, is over."""
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(_interrupt, sweepers, turns - 1)
        return
    slots = {slot for each in sweepers for slot in each.slots if slot.state not in _OVER}
    ends_at = Counter(slot.deadline_s for slot in slots)
    limited = [
        slot
        for slot in slots
        if (slot.state is CALLING if slot.deadline_s is None else ends_at[slot.deadline_s] == 1)
        # two have one deadline where one calls for the other: it is over for both, or for none
    ]
    if limited:
        slot = random.choice(sorted(limited, key=lambda slot: (slot.age, slot.stage is None)))
        slot.interrupt(loop.time(), is_deadline=slot.deadline_s is not None)


__all__ = ["Outcome", "play"]
