"""How many records go by before the loop gets its turn."""

import asyncio

import pytest

from streamproc import Pipeline
from streamproc.engines.pace import MOST, STALL_S, STALL_SHARE_S, TURN_S, Pace


def test_it_doubles_while_turns_are_short() -> None:
    pace = Pace()
    while pace.size < MOST:
        before = pace.size
        pace.measured(pace.size, TURN_S / 10)
        assert pace.size == min(MOST, 2 * before)


def test_a_turn_that_was_not_full_says_nothing() -> None:
    """At the end of a batch there are fewer records than would fit."""
    pace = Pace()
    pace.measured(1, 0.0)
    size = pace.size
    pace.measured(size - 1, 0.0)
    assert pace.size == size


def test_a_long_turn_makes_it_as_small_as_it_has_to_be() -> None:
    pace = Pace()
    for _ in range(5):
        pace.measured(pace.size, 0.0)
    pace.measured(32, 2 * TURN_S)
    assert pace.size == 16


def test_after_a_stall_records_go_one_by_one_for_a_while() -> None:
    """Finished lines wait for the turn's end: the next stall must not hold up others."""
    pace = Pace()
    for _ in range(5):
        pace.measured(pace.size, 0.0)
    pace.measured(32, 10 * STALL_S)
    steps = 0
    while pace.size == 1:
        pace.measured(1, 0.0)
        steps += 1
    assert steps > 1000


def test_a_stall_is_paid_off_by_every_record_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many calls end in one turn of the loop: each gives it away once."""
    sizes: list[int] = []

    class Stalled(Pace):
        """Has one stall, in a turn of eight; its other turns take no time on any machine."""

        def measured(self, records: int, elapsed_s: float) -> None:
            stalls = records == 8 and not sizes
            super().measured(records, 2 * STALL_S if stalls else 0.0)
            if sizes or self.is_careful:
                sizes.append(self.size)

    async def waits(record: dict[str, int]) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("streamproc.engines.local.Pace", Stalled)
    at_once, steps = 64, int(2 * STALL_S / STALL_SHARE_S)
    records = [{"n": n} for n in range(steps * at_once // 8)]
    Pipeline([waits], concurrency=at_once).run_sync(records, [])
    assert sizes[0] == 1
    assert max(sizes) > 1
