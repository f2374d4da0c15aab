"""Policies that meet: random stacks against random services, in simulated time."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings

from simulation.scenarios import Asking, Scenario, check, play, scenarios
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


def test_many_bad_records_leave_no_good_one_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5,000 records 60% are always refused; a half-open circuit asks with calls that have not
    failed yet, or those that have would say of the target again and again that it is away.
    """
    bad = {n: "500" for n in range(5000) if n * 7919 % 1000 < 600}
    services, stages = {"a": Service(bad=bad)}, [[Asking("a")]]
    outcome = play(Scenario(services, stages, records=5000, concurrency=64), monkeypatch)
    assert outcome.world.good["a"] == 5000 - len(bad)
