"""The short form of `make torture`."""

from __future__ import annotations

from collections import Counter

import pytest
from torture import FAULTS, play


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str, seed: int) -> None:
    """Whatever ends the runs, the output is that of an undisturbed one."""
    survived: Counter[str] = Counter()
    play(FAULTS[fault], seed, survived, count=2_000)
