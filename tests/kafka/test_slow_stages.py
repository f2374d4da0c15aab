"""Stages that are slow or stuck, and signals meanwhile: who waits, and what is committed."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, until
from copies import PARTITIONS, both, message, written

from tests.conftest import summary

pytestmark = pytest.mark.forked


@both
def test_a_signal(
    copy: Any, produce: Any, start: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """What was read is finished and committed; the next run goes on exactly there."""
    it, count = copy(exactly_once), 60_000
    produce(it.source, [message(n, s=0.001) for n in range(count)])
    process = start(*it.arguments("slow", "-j", "50", "--drain-timeout", "1000"))
    until(lambda: len(consume_all(it.target)) > 100, "output")
    process.terminate()
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    counts = summary(stderr)
    assert counts["unprocessed"] == 0
    assert counts["ok"] == counts["received"] == len(consume_all(it.target))
    done = run(*it.arguments("none", "--stop-at-end"))
    assert (done.returncode, summary(done.stderr)["ok"]) == (0, count - counts["ok"])
    found = consume_all(it.target)
    for partition in range(PARTITIONS):
        mine = written([each for each in found if each.partition == partition])
        assert mine == list(range(partition, count, PARTITIONS))


@both
def test_two_signals(
    copy: Any, produce: Any, start: Any, run: Any, folder: Path, consume_all: Any,
    exactly_once: str,
) -> None:  # fmt: skip
    """What is stuck is left for the next run, and so is what stands behind it."""
    it, stuck = copy(exactly_once), {40, 41}
    produce(it.source, [message(n, wait=n in stuck) for n in range(200)])
    process = start(*it.arguments("gate", "--drain-timeout", "50"))
    until(lambda: len(consume_all(it.target)) >= 120, "what is not stuck")
    for number in (signal.SIGTERM, signal.SIGINT):  # two alike may arrive as one
        process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 75
    assert summary(stderr)["unprocessed"] == 80
    committed = it.committed()
    assert (committed[0], committed[1]) == (40 // PARTITIONS, 41 // PARTITIONS)
    assert committed[2] >= 50
    assert len(consume_all(it.target)) == 120
    (folder / "open").touch()
    done = run(*it.arguments("gate", "--stop-at-end"))
    assert (done.returncode, summary(done.stderr)["received"]) == (0, 80)
    assert Counter(written(consume_all(it.target))) == Counter(range(200))


@both
def test_a_head_that_is_stuck(
    copy: Any, produce: Any, start: Any, folder: Path, consume_all: Any, exactly_once: str
) -> None:
    """What stands behind it in its partition waits; all others go by, and are committed."""
    it, count, stuck = copy(exactly_once), 2000, 41
    produce(it.source, [message(n, wait=n == stuck) for n in range(count)])
    process = start(*it.arguments("gate"))
    part = count // PARTITIONS
    before = stuck // PARTITIONS
    expected = {0: part, 1: before, 2: part, 3: part}
    until(lambda: known(it.committed(), expected), "offsets of those that are not stuck")
    assert len(consume_all(it.target)) == sum(expected.values())
    assert it.committed()[1] == before
    (folder / "open").touch()
    until(lambda: len(consume_all(it.target)) == count, "the rest")
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    found = consume_all(it.target)
    assert written([each for each in found if each.partition == 1]) == list(range(1, count, 4))
    assert Counter(written(found)) == Counter(range(count))


def known(committed: dict[int, int], expected: dict[int, int]) -> bool:
    """Whether as much is committed; behind the records of a transaction stands its end."""
    return all(committed[each] >= offset for each, offset in expected.items())


@both
def test_a_stage_that_is_slower_than_a_member_may_be(
    copy: Any, produce: Any, run: Any, folder: Path, consume_all: Any, exactly_once: str
) -> None:
    """With full queues nothing is fetched for longer than `max.poll.interval.ms`; we stay in the
    group all the same, and no record is done twice."""
    it, count = copy(exactly_once), 70_000  # more than the window and what is fetched ahead
    slow = {0: 8, 1: 7, 2: 8, 3: 6, 4: 2, 9: 0.5, 14: 4}
    produce(it.source, [message(n, s=slow.get(n, 0)) for n in range(count)])
    quick = {"max.poll.interval.ms": 6000, "session.timeout.ms": 6000}
    done = run(*it.arguments("slow", "--stop-at-end", **quick))
    assert done.returncode == 0
    counts = summary(done.stderr)
    assert (counts["received"], counts["ok"]) == (count, count)
    assert Counter((folder / "calls").read_text().split()) == Counter(map(str, range(count)))
    assert Counter(written(consume_all(it.target))) == Counter(range(count))
