"""What a person sees of a run: how fast it is, how long it takes, what holds it back."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.telemetry.averages import Averages, Position
from streamproc.telemetry.bottleneck import Bottleneck
from streamproc.telemetry.terminal import ERASE, Beside, drawn, same_terminal, size_of
from streamproc.waits import Wait


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    """A slow start says nothing about now."""
    averages = Averages(Position(0.0, 0, 0))
    for second in range(1, 31):
        records = 0 if second < 15 else (second - 14) * 100
        averages.add(Position(float(second), records, records * 10))
    assert averages.per_second == pytest.approx(100)
    assert averages.left_s(5000) == pytest.approx(5)


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=40))
def test_whenever_it_is_looked_at_a_steady_rate_is_that_rate(steps_s: list[float]) -> None:
    averages, at_s = Averages(Position(0.0, 0, 0)), 0.0
    for step_s in steps_s:
        at_s += step_s
        averages.add(Position(at_s, round(at_s * 1000), round(at_s * 8000)))
    assert averages.per_second == pytest.approx(1000, rel=0.2)


def test_there_is_no_guess_before_something_is_known() -> None:
    averages = Averages(Position(0.0, 0, 0))
    assert averages.per_second == 0
    averages.add(Position(2.9, 100, 1000))
    assert averages.left_s(1000) is None
    averages.add(Position(3.1, 100, 0))
    assert averages.left_s(1000) is None  # nothing was read


class Clock:
    """Seconds, and for how many of them nobody has read."""

    def __init__(self) -> None:
        self.now = self.blocked_s = 0.0
        self.waits: list[Wait] = []
        self.bottleneck = Bottleneck(lambda: self.waits, lambda: self.blocked_s, lambda: self.now)

    def after(self, seconds: float, blocked_s: float = 0.0) -> Wait | None:
        self.now, self.blocked_s = self.now + seconds, self.blocked_s + blocked_s
        return self.bottleneck.reading()


def test_what_most_calls_wait_for_holds_a_run_back() -> None:
    clock = Clock()
    assert clock.after(1) is None
    few, many = Wait("rate_limited", "a", 2), Wait("circuit_open", "b", 30)
    clock.waits = [few, many, Wait("concurrency", "c", 3)]
    assert clock.after(1) is many


def test_a_reader_that_takes_nothing_for_half_of_the_time_is_slow() -> None:
    clock = Clock()
    assert clock.after(2, blocked_s=0.75) is None
    assert clock.after(2, blocked_s=1.0) == Wait("reader")
    clock.waits = [Wait("rate_limited", "a", 2)]
    assert clock.after(0.5) == Wait("reader")  # too short to know better
    assert clock.after(1.5) == clock.waits[0]


def test_the_line_is_erased_before_somebody_elses_begins() -> None:
    out = StringIO()
    beside = Beside(out)
    for text in ("a", "", "b\n", "c\n"):
        beside.write(text)
    assert out.getvalue() == f"{ERASE}ab\n{ERASE}c\n"
    assert beside.getvalue() == out.getvalue()  # the rest is that of the stream


@pytest.mark.parametrize("count", [1, 2, 5])
def test_after_drawing_the_cursor_stands_where_the_first_line_begins(count: int) -> None:
    """As many lines up as it came down, or what others write would be erased, or stay below."""
    text = drawn(["x"] * count)
    assert text.startswith(ERASE)
    moved = re.search(r"\x1b\[(\d+)A", text)
    assert (int(moved[1]) if moved else 0) == text.count("\n") == count - 1
    assert text.endswith("\r")


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_a_terminal_is_known_and_what_is_none(terminal: int, tmp_path: Path) -> None:
    """Also one that does not know how large it is, and descriptors that are closed."""
    with open(tmp_path / "file", "w") as file:
        assert not same_terminal(terminal, file.fileno())
        assert not same_terminal(file.fileno(), file.fileno())
        assert size_of(file) == (80, 24)
        closed = file
    again = os.dup(terminal)
    assert same_terminal(terminal, again)
    os.close(again)
    assert not same_terminal(terminal, again)
    with open(terminal, "w", closefd=False) as stream:
        assert size_of(stream) == (80, 24)
    assert size_of(closed) == (80, 24)
