"""Policies that meet: random stacks against random services, in simulated time."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from simulation.scenarios import Scenario, check, play, scenarios

EXAMPLES = int(os.environ.get("STREAMPROC_SCENARIOS", "2000"))


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(scenario=scenarios())
def test_whatever_meets(scenario: Scenario) -> None:
    """Limits are kept, waits end, nobody fails of somebody else's fault, the account balances."""
    with pytest.MonkeyPatch.context() as patch:
        check(play(scenario, patch))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play a scenario and check it."""

    def run(scenario: Scenario) -> Any:
        outcome = play(scenario, monkeypatch)
        check(outcome)
        return outcome

    return run
