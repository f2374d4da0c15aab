"""Workers are asked for when this thread is busy with work that is worth its way to them."""

from __future__ import annotations

import pytest

from streamproc.engines import load
from streamproc.engines.load import Load


class Clock:
    """CPU time of the thread."""

    def __init__(self) -> None:
        self.cpu_s = 10.0

    def thread_time(self) -> float:
        return self.cpu_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(load, "time", found)
    return found


def highs(clock: Clock, *, each_s: float, records: int, waited_s: float, batches: int) -> int:
    """In how many of so many batches workers would help; each takes that much CPU time."""
    meter, found = Load(), 0
    for _ in range(batches):
        clock.cpu_s += each_s
        found += meter.is_high(records, records * 100, waited_s)
    return found


def test_work_that_takes_long_for_each_record_is_worth_it(clock: Clock) -> None:
    """1 ms each: 0.5 s of it are enough to know."""
    assert highs(clock, each_s=0.1, records=100, waited_s=0.0, batches=4) == 0
    assert highs(clock, each_s=0.1, records=100, waited_s=0.0, batches=6) == 1


def test_work_that_is_as_cheap_as_handing_it_over_is_not(clock: Clock) -> None:
    """5 µs each, of which more than 3 are the way to a worker."""
    assert highs(clock, each_s=0.1, records=20_000, waited_s=0.0, batches=50) == 0


def test_who_waits_for_more_records_than_it_has_time_for_is_not_busy(clock: Clock) -> None:
    assert highs(clock, each_s=0.1, records=100, waited_s=0.2, batches=50) == 0
