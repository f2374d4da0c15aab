"""The short form of `tests/fuzz.py`."""

from __future__ import annotations

import multiprocessing
import random

import pytest
from fuzz import FOUND, TARGETS, any_line, check
from hostile import Line

from streamproc import secrets


@pytest.mark.alone
def test_what_was_found_once() -> None:
    """It costs what its size costs, and is refused without a traceback.

    Each in a process of its own: what one took would hide what the next one takes.
    """
    small = multiprocessing.get_context("fork")
    for found in FOUND:
        process = small.Process(target=check, args=found)
        process.start()
        process.join()
        assert process.exitcode == 0, found


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes(target: str) -> None:
    """Whatever comes in, time and memory grow as it does."""
    dice = random.Random(target)
    for _ in range(8):
        check(target, any_line(target, dice))


def test_what_is_hidden_is_looked_for_in_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many secrets there are: a place to which nobody is sent may be long."""
    monkeypatch.setattr(secrets, "_hidden", {})
    for i in range(40):
        secrets.hide('"\\<>' * (2 + i))
    check("redirect", Line(b"https://[", b'[\\..\\-"', b""))
