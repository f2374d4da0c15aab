"""What a thread waited for a processor is told apart from what it did."""

from __future__ import annotations

import os

import pytest

from streamproc.engines.run_delay import RunDelay


@pytest.fixture
def delay(monkeypatch: pytest.MonkeyPatch) -> tuple[RunDelay, list[int]]:
    """One, and in ns how long its thread has waited so far."""
    waited_ns = [0]
    monkeypatch.setattr(os, "pread", lambda *_: b"5 %d 7\n" % waited_ns[0])
    return RunDelay(), waited_ns


def test_what_was_waited_for_since_it_began(delay: tuple[RunDelay, list[int]]) -> None:
    each, waited_ns = delay
    waited_ns[0] = 3_000_000_000
    each.begin(10.0)
    waited_ns[0] += 250_000_000
    assert each.since_last_s() == 0.25
    assert each.since_last_s() == 0.0


def test_what_begins_shortly_after_another_has_its_waits_too(
    delay: tuple[RunDelay, list[int]],
) -> None:
    """A turn of 5 ms is not begun with a system call."""
    each, waited_ns = delay
    each.begin(10.0)
    waited_ns[0] = 1_000_000_000
    each.begin(10.01)
    assert each.since_last_s() == 1.0
    waited_ns[0] += 1_000_000_000
    each.begin(10.1)
    assert each.since_last_s() == 0.0


def test_where_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"nothing\n")
    each = RunDelay()
    each.begin(1.0)
    assert each.since_last_s() == 0.0
    each.close()
    assert each.since_last_s() == 0.0
