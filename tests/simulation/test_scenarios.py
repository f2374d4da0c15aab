"""Policies that meet: random stacks against random services, in simulated time."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings

from simulation.scenarios import Scenario, check, play, scenarios

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
