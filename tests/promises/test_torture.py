"""The short form of `make torture`."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from torture import FAULTS, kill_workers, play

from tests.conftest import environment

OWN_MARKS = {kill_workers.__name__: pytest.mark.forked(workers="started")}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "fault", [pytest.param(each, marks=OWN_MARKS.get(each, pytest.mark.forked)) for each in FAULTS]
)
def test_faults(process_of: Any, fault: str, seed: int) -> None:
    """Whatever ends the runs, the output is that of an undisturbed one."""
    survived: Counter[str] = Counter()
    play(FAULTS[fault], seed, survived, partial(process_of, env=environment({})), count=2_000)
