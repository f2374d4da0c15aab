"""The short form of `tests/fuzz.py`."""

from __future__ import annotations

import random

import pytest
from fuzz import FOUND, TARGETS, Line, any_line, check


@pytest.mark.alone
@pytest.mark.parametrize(("target", "line"), FOUND)
def test_what_was_found_once(target: str, line: Line) -> None:
    """It costs what its size costs, and is refused without a traceback."""
    check(target, line)


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes(target: str) -> None:
    """Whatever comes in, time and memory grow as it does."""
    dice = random.Random(target)
    for _ in range(8):
        check(target, any_line(dice))
