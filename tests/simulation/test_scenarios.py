"""Policies that meet: random stacks against random services, in simulated time."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from simulation.invariants import check
from simulation.playing import play
from simulation.scenarios import Asking, Scenario, scenarios
from simulation.world import Service

PARTS = 4  # side by side
EXAMPLES = int(os.environ.get("STREAMPROC_SCENARIOS", "2000"))


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_meets(part: int) -> None:
    """Limits are kept, waits end, nobody fails of somebody else's fault, the account balances."""

    @seed(part)
    @settings(
        max_examples=EXAMPLES // PARTS,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(scenario=scenarios())
    def some(scenario: Scenario) -> None:
        with pytest.MonkeyPatch.context() as patch:
            check(play(scenario, patch))

    some()


@pytest.mark.parametrize(
    ("records", "share", "ordered"),
    [(200, 0.6, True), (1000, 0.02, True), (1000, 0.6, False), (5000, 0.6, True)],
)
def test_many_bad_records_are_no_outage(
    records: int, share: float, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fails of its own error, the good ones are answered, and nobody waits for long."""
    dice = random.Random(records)
    bad = {n: "500" for n in range(records) if dice.random() < share}
    services, stages = {"a": Service(bad=bad)}, [[Asking("a")]]
    outcome = play(Scenario(services, stages, records, 64, ordered), monkeypatch)
    check(outcome)
    assert outcome.error is None
    assert outcome.world.good["a"] == records - len(bad)
    assert outcome.seconds < 100


def test_an_outage_among_many_bad_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 60% fail anyway it is noticed later, and costs no good record all the same."""
    bad = {n: "500" for n in range(3000) if n * 7919 % 1000 < 600}
    service = Service(bad=bad, outage=(15.0, 35.0, "500"))
    outcome = play(Scenario({"a": service}, [[Asking("a")]], 3000, 64), monkeypatch)
    check(outcome)
    assert outcome.error is None
    assert outcome.world.good["a"] == 3000 - len(bad)
    began = outcome.world.began
    assert sum(20.0 < at - began < 35.0 for at in outcome.world.written["a"]) < 20


def test_who_may_come_at_once_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Retry-After: 0` for ever, to some: each is asked now and then, for five minutes."""
    bad = dict.fromkeys(range(0, 50, 10), "429 at once")
    outcome = play(Scenario({"a": Service(bad=bad)}, [[Asking("a")]], 50, 8), monkeypatch)
    check(outcome)
    assert outcome.summary.failed == 5
    for n in bad:
        times = outcome.world.times["a", n]
        assert times[-1] - times[0] > 200
        assert len(times) < 60


def test_nobody_waits_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some waited for a service that was down; it is not given up two minutes later."""
    policies = {"retry": False, "breaker": {"max_wait": 30.0}}
    service = Service(outage=(0.0, 60.0, "500"))
    scenario = Scenario({"a": service}, [[Asking("a", policies)]], 30, 10, breaks=((18, 120.0),))
    outcome = play(scenario, monkeypatch)
    check(outcome)
    assert outcome.error is None
    assert (outcome.summary.failed, outcome.summary.ok) == (18, 12)


FAILING = [
    Service(bad=dict.fromkeys(range(0, 20, 2), "500")),
    Service(bad={0: "429", 1: "429"}),
    Service(bad={0: "reset", 7: "reset"}),
    Service(flaky=0.5),
    Service(capacity=4),
    Service(outage=(0.0, 0.3, "500")),
    Service(outage=(0.01, 5.0, "refused")),
]


@pytest.mark.parametrize("policies", [{}, {"batch": {"size": 3}}])
@pytest.mark.parametrize("redirects", [False, True])
@pytest.mark.parametrize("service", FAILING)
def test_a_post_is_not_sent_again(
    service: Service, redirects: bool, policies: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it fails, there or where it was sent on to: it may have been done."""
    service = replace(service, redirects=redirects)
    scenario = Scenario({"a": service}, [[Asking("a", policies, posts=True)]], 20, 8)
    outcome = play(scenario, monkeypatch)
    check(outcome)
    assert outcome.error is None
