"""Random pipelines against random services."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from simulation.world import Service

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

    @property
    def is_bulk(self) -> bool:
        return "batch" in self.policies

    @property
    def most_in_call(self) -> int:
        """How many records fail with a call."""
        batch = self.policies.get("batch")
        size: int = 1 if batch is None else batch.get("size", 50)
        return size

    @property
    def max_wait_s(self) -> float:
        """How long its records wait for a service that is away."""
        breaker = self.policies.get("breaker")
        waits_s: float = breaker["max_wait"] if isinstance(breaker, dict) else 300.0
        return waits_s


@dataclass(frozen=True)
class Scenario:
    """`stages`: each asks one service, or several at once. `signals`: after so many seconds.

    `alike`: so many records in a row ask the same. `breaks`: before which record the input
    pauses, and for how long. `interrupts`: after so many seconds, and turns of the loop, the
    time of some call is over.
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
    breaks: tuple[tuple[int, float], ...] = ()
    interrupts: tuple[tuple[float, int], ...] = ()

    def asked(self, n: int) -> int:
        """What record `n` asks for."""
        return n // self.alike

    @property
    def asking(self) -> list[Asking]:
        """All who ask."""
        return [each for asks in self.stages for each in asks]


# Strategies are made once: making one takes longer than drawing from it

_COUNTS = st.sampled_from([1, 4, 12, 12, 25, 50])
_SEEDS = st.integers(0, 1000)
_SHARES = st.sampled_from([0.0, 0.0, 0.02, 0.2, 0.6])
_BAD = st.sampled_from(["500", "reset", "429", "hang", "400"])
_OUTAGES = [
    (begin, begin + long, how)
    for begin in (0.0, 0.5, 3.0)
    for long in (2.0, 20.0, 60.0)
    for how in ("refused", "500", "hang")
]
_OUTAGE = st.sampled_from([*[None] * len(_OUTAGES), *_OUTAGES])
_PAUSES = [(0.0, 3.0, "3"), (0.5, 10.0, "10"), (0.2, 0.0, "0"), (1.0, 100.0, "100")]
_PAUSE = st.sampled_from([*[None] * len(_PAUSES), *_PAUSES])
_SECONDS = st.sampled_from([0.0, 0.01, 0.05, 0.3])
_CONNECT_S = st.sampled_from([0.0, 0.0, 0.2])
_FLAKY = st.sampled_from([0.0, 0.0, 0.1])
_CAPACITY = st.sampled_from([None, None, 3])
_BODY = st.sampled_from([0, 0, 2000, 10_000])
_REDIRECTS = st.sampled_from([False, False, False, True])
_POSTS = st.sampled_from([False, False, False, True])


@st.composite
def services(draw: Any, name: str, records: int) -> Service:
    share, kind = draw(_SHARES), draw(_BAD)
    if kind == "429":
        share = min(share, 0.02)  # each of them is asked ten times and for 300 s
    # one choice for all records: a choice each took longer than to play the scenario
    dice = random.Random(draw(_SEEDS))
    return Service(
        name,
        seconds=draw(_SECONDS),
        connect_s=draw(_CONNECT_S),
        bad={n: kind for n in range(records) if dice.random() < share},
        flaky=draw(_FLAKY),
        outage=draw(_OUTAGE),
        capacity=draw(_CAPACITY),
        pause=draw(_PAUSE),
        body_bytes=draw(_BODY),
        redirects=draw(_REDIRECTS),
    )


_LIMIT = st.sampled_from([1, 3, {"min": 1, "max": 20, "start": 2}])
_RATE = st.sampled_from(
    [{"limit": f"{k}/s", "strict": strict} for k in (5, 20, 200) for strict in (False, True)]
)
_OFTEN = st.booleans()


def _one_in(count: int) -> Any:
    return st.integers(0, count - 1).map(lambda drawn: drawn == count - 1)


_SELDOM, _RARELY = _one_in(4), _one_in(6)
_POLICIES: dict[str, tuple[Any, Any]] = {  # how often, and which
    "concurrency": (_OFTEN, _LIMIT),
    "rate": (_OFTEN, _RATE),
    "deadline": (_SELDOM, st.sampled_from([0.5, 3.0, 30.0])),
    "cache": (_SELDOM, st.just("1h")),
    "batch": (_SELDOM, st.sampled_from([{"size": 2}, {"size": 5, "wait": 0.1}, {"wait": 1.0}])),
    "fallback": (_RARELY, st.just([{"value": {"unknown": True}}])),
    "breaker": (_SELDOM, st.sampled_from([False, {"max_wait": 10.0}])),
    "retry": (_RARELY, st.just(False)),
}


@st.composite
def policies(draw: Any) -> dict[str, Any]:
    return {name: draw(which) for name, (often, which) in _POLICIES.items() if draw(often)}


_NAMES = st.sampled_from(["a", "ab", "abc"])
_AT_ONCE = [st.just(1), st.sampled_from([1, 1, 1, 2]), st.sampled_from([1, 1, 2, 3])]
_SIGNALS = st.sampled_from(
    [*[()] * 24, *[signals for at in (0.01, 0.6, 5.0) for signals in ((at,), (at, at + 0.5))]]
)
_BREAKS = st.sampled_from([(), (), (), ((0.3, 5.0),), ((0.3, 20.0), (0.8, 20.0)), ((0.5, 400.0),)])
_MOMENTS = st.tuples(st.sampled_from([0.0, 0.01, 0.05, 0.06, 0.35, 1.0]), st.integers(0, 12))
_INTERRUPTS = st.lists(_MOMENTS, min_size=1, max_size=5).map(tuple)


@st.composite
def scenarios(draw: Any) -> Scenario:
    records, names = draw(_COUNTS), draw(_NAMES)
    hosts = {name: draw(services(name, records)) for name in names}
    stages, left = [], list(names)
    while left:
        count = draw(_AT_ONCE[len(left) - 1])
        asks = [(left.pop(0), draw(policies()), draw(_POSTS)) for _ in range(count)]
        stages.append([Asking(*each) for each in asks])
    return Scenario(
        hosts,
        stages,
        records,
        draw(st.sampled_from([1, 2, 8, 64])),
        draw(_OFTEN),
        draw(_SIGNALS),
        draw(_SEEDS),
        draw(st.sampled_from([AMPLE_BYTES, 3000, 60_000])),
        draw(st.sampled_from([1, 1, 4])),
        tuple((int(records * share), for_s) for share, for_s in draw(_BREAKS)),
        draw(_INTERRUPTS) if draw(_SELDOM) else (),
    )


__all__ = ["AMPLE_BYTES", "ATTEMPT_S", "Asking", "Scenario", "scenarios"]
