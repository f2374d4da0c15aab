"""Random pipelines against random services, and what has to hold whatever comes of it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from simulation.world import Service, World, kind_of
from streamproc.assembly import pipeline as assembled
from streamproc.assembly.pipeline import Pipeline
from streamproc.codec import decode
from streamproc.config.load import resolve
from streamproc.engines import headroom, sweeper
from streamproc.engines.capacity import CapacityLimiter
from streamproc.enrichers import http
from streamproc.errors import StreamprocError, UnavailableError
from streamproc.http import choice
from streamproc.memory import SMALL_BYTES, Memory
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.shutdown import Shutdown
from streamproc.testing import MemorySink, MemorySource
from streamproc.trials.clock import simulate

ATTEMPT_S = 2.0  # `timeout` of every stage here

AMPLE_BYTES = 192 << 20  # of memory: more than all records of a scenario hold


@dataclass(frozen=True)
class Asking:
    """A stage, or one of several sources: whom it asks and with what around it.

    `posts`: it asks for something to be done, which must not be done twice.
    """

    host: str
    policies: dict[str, Any] = field(default_factory=dict)
    posts: bool = False


@dataclass(frozen=True)
class Scenario:
    """`stages`: each asks one service, or several at once. `signals`: after so many seconds.

    `alike`: so many records in a row ask the same.
    """

    services: dict[str, Service]
    stages: list[list[Asking]]
    records: int
    concurrency: int
    ordered: bool = True
    signals: tuple[float, ...] = ()
    seed: int = 0
    max_memory: int = AMPLE_BYTES
    alike: int = 1

    def asked(self, n: int) -> int:
        """What record `n` asks for."""
        return n // self.alike


@dataclass
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    world: World
    lines: list[dict[str, Any]]
    error: BaseException | None
    summary: Any
    seconds: float
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


def settings_of(scenario: Scenario) -> dict[str, Any]:
    tables = []
    for k, asks in enumerate(scenario.stages):
        made = [
            {
                "name": f"s{k}" if len(asks) == 1 else f"s{k}{each.host}",
                "http": {
                    "url": f"http://{each.host}.test/{{asked}}",
                    "method": "POST" if each.posts else "GET",
                },
                "timeout": ATTEMPT_S,
                **each.policies,
            }
            for each in asks
        ]
        tables.append(made[0] if len(made) == 1 else {"name": f"s{k}", "all": made})
    return {
        "stage": tables,
        "concurrency": scenario.concurrency,
        "ordered": scenario.ordered,
        "drain_timeout": 25.0,
        "max_memory": scenario.max_memory,
    }


async def _run(scenario: Scenario, monkeypatch: Any) -> Outcome:
    random.seed(scenario.seed)
    loop = asyncio.get_running_loop()
    world = World(scenario.services, loop.time)

    def open_client(wanted: str, options: Any, target: Any) -> tuple[Any, str]:
        return world.client(target.host.removesuffix(".test")), "simulated"

    monkeypatch.setattr(choice, "open_client", open_client)
    monkeypatch.setattr(sweeper, "_TICK_S", (0.25, 0.25))  # an hour has 14,400 of them
    monkeypatch.setattr(headroom, "_TICK_S", 0.25)
    monkeypatch.setattr(http, "LARGE_BYTES", SMALL_BYTES)
    made: list[CapacityLimiter] = []
    init = CapacityLimiter.__init__

    def note(self: CapacityLimiter, count: int) -> None:
        init(self, count)
        made.append(self)

    monkeypatch.setattr(CapacityLimiter, "__init__", note)
    opened: list[CreditLimit] = []

    def open_window(*limits: int) -> CreditLimit:
        opened.append(CreditLimit(*limits))
        return opened[-1]

    monkeypatch.setattr(assembled, "CreditLimit", open_window)
    pipeline = Pipeline.from_settings(resolve(settings_of(scenario)))
    shutdown = Shutdown(25.0)
    for after_s in scenario.signals:
        loop.call_later(after_s, shutdown.request, 2)
    sink = TimedSink()
    began = loop.time()
    error: BaseException | None = None
    source = MemorySource([{"n": n, "asked": scenario.asked(n)} for n in range(scenario.records)])
    try:
        summary = await pipeline.run(source, sink, shutdown=shutdown)
    except StreamprocError as raised:
        error, summary = raised, raised.summary  # type: ignore[attr-defined]
    return Outcome(
        scenario,
        world,
        list(sink.records),
        error,
        summary,
        loop.time() - began,
        sink.times,
        made[-1],
        opened[-1].memory,
    )


def play(scenario: Scenario, monkeypatch: Any) -> Outcome:
    """Run it in simulated time."""
    with monkeypatch.context() as patch:
        outcome: Outcome = simulate(_run(scenario, patch))
    return outcome


# What holds in every scenario


def check(outcome: Outcome) -> None:
    """All invariants."""
    scenario, world, summary = outcome.scenario, outcome.world, outcome.summary
    assert outcome.seconds < 4000, "the run does not end"
    assert world.most_of_all <= outcome.places.count
    assert outcome.places.taken == 0
    if outcome.error is None and not scenario.signals:
        assert outcome.memory.held_bytes == outcome.memory.leaving_bytes == 0
    assert not world.in_pause
    assert scenario.alike > 1 or not world.done_twice, "a POST was sent again"
    _check_attempts(outcome)
    _check_account(outcome)
    _check_limits(outcome)
    if not scenario.signals:
        _check_end(outcome)
        if outcome.error is None:
            _check_records(outcome)
    if summary.requests:
        calls = summary.requests
        assert calls == sum(world.asked.values()) + world.refused


def _check_attempts(outcome: Outcome) -> None:
    """Those of a record are half of the back-off's base apart, on average, and end in time."""
    scenario, times = outcome.scenario, outcome.world.times
    if scenario.alike > 1:
        return  # it may be those of several records
    gaps = [later - earlier for each in times.values() for earlier, later in pairwise(each)]
    assert len(gaps) < 30 or sum(gaps) / len(gaps) > 0.15, "a target is asked again and again"
    first, *more = scenario.stages
    deadline_s = first[0].policies.get("deadline")
    if deadline_s is None or more or len(first) > 1 or scenario.ordered or scenario.signals:
        return
    for (_, n), asked in times.items():
        late_s = outcome.written.get(n, 0.0) - asked[0] - deadline_s
        assert late_s <= 2.0 + 0.05 * deadline_s, f"{n} ends {late_s} s after its deadline"


def _check_account(outcome: Outcome) -> None:
    tally = outcome.summary
    ends = (
        tally.ok + tally.failed + tally.dead_lettered + tally.dropped + tally.filtered
        + tally.skipped + tally.unprocessed
    )  # fmt: skip
    assert tally.received == ends
    if not outcome.scenario.signals and outcome.error is None:
        assert tally.received == outcome.scenario.records
        assert tally.unprocessed == 0
        seen = [line["n"] for line in outcome.lines]
        expected = list(range(outcome.scenario.records))
        assert (seen if outcome.scenario.ordered else sorted(seen)) == expected


def _check_limits(outcome: Outcome) -> None:
    for asks in outcome.scenario.stages:
        for each in asks:
            limit = each.policies.get("concurrency")
            most = limit["max"] if isinstance(limit, dict) else limit
            if most is not None and _stages_of(outcome.scenario, each.host) == 1:
                assert outcome.world.most[each.host] <= most
            rate = each.policies.get("rate")
            if rate is not None and _stages_of(outcome.scenario, each.host) == 1:
                _check_rate(outcome.world.written[each.host], rate)


def _check_rate(times: list[float], rate: dict[str, Any]) -> None:
    per_second = int(rate["limit"].removesuffix("/s"))
    burst = 0 if rate.get("strict") else max(1, int(per_second * 0.1)) + 1
    last = 0
    for k, at in enumerate(times):
        while times[last] <= at - 1.0:
            last += 1
        assert k - last + 1 <= per_second + burst, f"{k - last + 1} within a second"


def _stages_of(scenario: Scenario, host: str) -> int:
    return sum(each.host == host for asks in scenario.stages for each in asks)


def _check_end(outcome: Outcome) -> None:
    """69 only after an outage that was longer than anybody may wait."""
    if outcome.error is None:
        return
    assert isinstance(outcome.error, UnavailableError), outcome.error
    hosts = [host for host in outcome.scenario.services if f"//{host}.test" in str(outcome.error)]
    assert len(hosts) == 1
    service, world = outcome.scenario.services[hosts[0]], outcome.world
    is_dead = len(set(service.bad)) >= 10 or service.outage is not None
    assert is_dead, "a target that answered well was given up"
    assert world.now() - world.last_good[hosts[0]] >= 299, "it had answered lately"


def _check_records(outcome: Outcome) -> None:
    """Bad records fail of their own error, good ones do not fail."""
    scenario = outcome.scenario
    unlucky = 0
    for line in outcome.lines:
        n, failure = line["n"], line.get("_error")
        reasons = _reasons(scenario, n)
        if failure is None:
            assert not _must_fail(scenario, n), f"{n} is ok"
            continue
        kinds = {(failure["kind"], failure.get("status"))}
        if "sources" in failure:
            kinds = {(each["kind"], each.get("status")) for each in failure["sources"].values()}
        if not kinds & reasons:
            unlucky += 1
    # the tenth opens the circuit; where memory lets one record go on at a time nobody else comes
    # meanwhile, so that it is asked for again, and fails as well
    most = 9 if scenario.max_memory >= AMPLE_BYTES else 10
    assert unlucky <= most * _outages(scenario), f"{unlucky} good records failed"


def _outages(scenario: Scenario) -> int:
    return sum(service.outage is not None for service in scenario.services.values())


def _reasons(scenario: Scenario, n: int) -> set[tuple[str, int | None]]:
    reasons: set[tuple[str, int | None]] = set()
    for asks in scenario.stages:
        for each in asks:
            service = scenario.services[each.host]
            bad = service.bad.get(scenario.asked(n))
            if bad is not None:
                reasons |= kind_of(bad)
            # a bad one fails of what its last attempt met
            may_meet = each.policies.get("breaker") is False or bad is not None or each.posts
            if service.outage is not None and may_meet:
                reasons |= {("connect", None), ("http_status", 500), ("timeout", None)}
            if service.flaky or service.capacity is not None:
                reasons |= {("http_status", 500), ("http_status", 503)}
            if "deadline" in each.policies:
                reasons |= {
                    ("deadline", None), ("throttled", 429), ("http_status", 500),
                    ("http_status", 503), ("reset", None), ("timeout", None), ("connect", None),
                }  # fmt: skip
    return reasons


def _must_fail(scenario: Scenario, n: int) -> bool:
    """Whether a service that is always asked always refuses it."""
    return any(
        scenario.asked(n) in scenario.services[each.host].bad and "fallback" not in each.policies
        for asks in scenario.stages
        for each in asks
    )


# Made up scenarios

SECONDS = st.sampled_from([0.0, 0.01, 0.05, 0.3])
POSTS = st.sampled_from([False, False, False, True])
BAD = st.sampled_from(["500", "reset", "429", "hang", "400"])


@st.composite
def services(draw: Any, name: str, records: int) -> Service:
    share = draw(st.sampled_from([0.0, 0.0, 0.02, 0.2, 0.6]))
    kind = draw(BAD)
    if kind == "429":
        share = min(share, 0.02)  # each of them is asked ten times and for 300 s
    # one choice for all records: a choice each took longer than to play the scenario
    dice = random.Random(draw(st.integers(0, 1000)))
    bad = {n: kind for n in range(records) if dice.random() < share}
    outage = draw(
        st.none()
        | st.tuples(
            st.sampled_from([0.0, 0.5, 3.0]),
            st.sampled_from([2.0, 20.0, 60.0]),
            st.sampled_from(["refused", "500", "hang"]),
        )
    )
    if outage is not None:
        outage = (outage[0], outage[0] + outage[1], outage[2])
    pause = draw(
        st.none()
        | st.sampled_from(
            [(0.0, 3.0, "3"), (0.5, 10.0, "10"), (0.2, 0.0, "0"), (1.0, 100.0, "100")]
        )
    )
    return Service(
        name,
        seconds=draw(SECONDS),
        connect_s=draw(st.sampled_from([0.0, 0.0, 0.2])),
        bad=bad,
        flaky=draw(st.sampled_from([0.0, 0.0, 0.1])),
        outage=outage,
        capacity=draw(st.sampled_from([None, None, 3])),
        pause=pause,
        body_bytes=draw(st.sampled_from([0, 0, 2000, 10_000])),
    )


@st.composite
def policies(draw: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if draw(st.booleans()):
        made["concurrency"] = draw(st.sampled_from([1, 3, {"min": 1, "max": 20, "start": 2}]))
    if draw(st.booleans()):
        limit = draw(st.sampled_from(["5/s", "20/s", "200/s"]))
        made["rate"] = {"limit": limit, "strict": draw(st.booleans())}
    if draw(st.integers(0, 3)) == 0:
        made["deadline"] = draw(st.sampled_from([0.5, 3.0, 30.0]))
    if draw(st.integers(0, 3)) == 0:
        made["cache"] = "1h"
    if draw(st.integers(0, 4)) == 0:
        made["fallback"] = [{"value": {"unknown": True}}]
    if draw(st.integers(0, 4)) == 0:
        made["breaker"] = False
    return made


@st.composite
def scenarios(draw: Any) -> Scenario:
    records = draw(st.sampled_from([1, 5, 30, 80]))
    names = draw(st.sampled_from(["a", "ab", "abc"]))
    hosts = {name: draw(services(name, records)) for name in names}
    stages = []
    left = list(names)
    while left:
        count = draw(st.integers(1, len(left)))
        count = 1 if draw(st.booleans()) else count
        asks = [(left.pop(0), draw(policies()), draw(POSTS)) for _ in range(count)]
        stages.append([Asking(*each) for each in asks])
    signals: tuple[float, ...] = ()
    if draw(st.integers(0, 4)) == 0:
        first = draw(st.sampled_from([0.01, 0.6, 5.0]))
        signals = (first,) if draw(st.booleans()) else (first, first + 0.5)
    return Scenario(
        hosts,
        stages,
        records,
        draw(st.sampled_from([1, 2, 8, 64])),
        draw(st.booleans()),
        signals,
        draw(st.integers(0, 1000)),
        draw(st.sampled_from([AMPLE_BYTES, 3000, 60_000])),
        draw(st.sampled_from([1, 1, 4])),
    )
