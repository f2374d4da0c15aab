"""How far an input is done, in whatever order its lines are written."""

from __future__ import annotations

import random

import pytest

from streamproc.frontier import Frontier
from streamproc.record import BLANK_NOTE, Batch, Cursor, Progress


@pytest.mark.parametrize("seed", range(20))
def test_any_order(seed: int) -> None:
    """Lines before it, and spans after it, are those that were written, after every step."""
    dice = random.Random(seed)
    batches, first = [], 0
    for _ in range(dice.randrange(1, 8)):
        lines = [b""] * dice.randrange(1, 30)
        batch = Batch(0, Cursor("f", first + 1, first), lines, len(lines))
        batch.notes = {i: BLANK_NOTE for i in range(len(lines)) if dice.random() < 0.2}
        batches.append((first, batch))
        first += len(lines)
    before = {line for line in range(first) if dice.random() < 0.1}
    frontier = Frontier(Progress(100, 7, tuple((line, line + 1) for line in sorted(before))))
    for _, batch in batches:
        frontier.admit(batch)
    order = [(start, batch, i) for start, batch in batches for i in range(len(batch))]
    dice.shuffle(order)
    written: set[int] = set()
    for start, batch, i in order:
        batch.written += 1
        frontier.written(batch, i, i + 1)
        written.add(start + i)
        progress = frontier.progress()
        done = {line for a, b in progress.done for line in range(a, b)}
        reached = progress.lines - 100
        assert set(range(reached)) <= written
        assert {reached + line for line in done} == {
            line for line in written | before if line >= reached
        }
        contiguous = next(line for line in range(first + 1) if line not in written)
        assert frontier.contiguous == 100 + contiguous
    assert progress.lines == 100 + first
    assert progress.blank == 7 + sum(len(batch.notes) for _, batch in batches)
    assert progress.done == ()
