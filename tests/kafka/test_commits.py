"""Offsets at least once: each is said until it is heard, and none after one that is newer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamproc.kafka.committer import INTERVAL_S, OffsetCommitter
from streamproc.kafka.source import Lane
from streamproc.kafka.thread import KafkaThread
from streamproc.record import Batch, Cursor
from streamproc.trials.clock import simulate

pytestmark = pytest.mark.mock_will_do
LANE, COUNT = 1, 5
AWAY = KafkaError(KafkaError._TRANSPORT)


class Group:
    """A consumer as the committer sees it, and what its group has been told."""

    def __init__(self, *refusals: int) -> None:
        self.refusals = list(refusals)
        self.told: list[tuple[int, bool]] = []  # an offset, and whether nobody waits for it

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        self.told += [(each.offset, asynchronous) for each in offsets]
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))


class Thread(KafkaThread):
    """Without a thread: what is submitted is done."""

    def __init__(self, group: Group) -> None:
        self.consumer = group
        self.committed, self.is_committing = {}, False
        self.assignment: Any = SimpleNamespace(look=lambda: None, numbers={LANE})

    async def submit(self, function: Any) -> Any:
        return function()

    def is_alive(self) -> bool:
        return True


def world(*refusals: int) -> tuple[Group, Thread, OffsetCommitter]:
    """All that was received is written."""
    group = Group(*refusals)
    thread = Thread(group)
    lane = Lane(LANE, "in", 0, COUNT)
    settings = SimpleNamespace(group="g")
    source: Any = SimpleNamespace(settings=settings, thread=thread, numbered={LANE: lane})
    committer = OffsetCommitter(source, in_transactions=False)
    batch = Batch(LANE, Cursor("in/0", 1, 0, 0), [b"{}"] * COUNT, 2 * COUNT)
    committer.admit(batch)
    batch.written = COUNT
    committer.written(batch, 0, COUNT)
    return group, thread, committer


@pytest.mark.parametrize("is_returning", [True, False])
def test_the_group_is_between_two_generations(is_returning: bool) -> None:
    """As another member leaves: the last offsets are said again until they are heard."""

    async def main() -> None:
        group, _, committer = world(KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
        await (committer.drained([LANE]) if is_returning else committer.close(finished=True))
        assert group.told == [(COUNT, False)] * 3

    simulate(main())


def test_we_may_not_commit(caplog: pytest.LogCaptureFixture) -> None:
    """It is no use to say it again."""

    async def main() -> None:
        group, _, committer = world(KafkaError.GROUP_AUTHORIZATION_FAILED)
        await committer.close(finished=True)
        assert len(group.told) == 1

    simulate(main())
    assert "offsets were not committed" in caplog.text


def test_one_after_the_other() -> None:
    """librdkafka repeats those that fail: of two on their way the older may come last."""

    async def main() -> None:
        group, thread, committer = world()
        running = asyncio.create_task(committer.run())
        await asyncio.sleep(INTERVAL_S * 3.5)
        assert group.told == [(COUNT, True)]
        committer.stop()
        await running
        closing = asyncio.create_task(committer.close(finished=True))
        await asyncio.sleep(INTERVAL_S)
        assert group.told == [(COUNT, True)]
        thread._on_commit(AWAY, [])
        await closing
        assert group.told == [(COUNT, True), (COUNT, False)]

    simulate(main())


def test_what_failed_is_said_again() -> None:
    """And what was confirmed is not."""

    async def main() -> None:
        group, thread, committer = world()
        running = asyncio.create_task(committer.run())
        await asyncio.sleep(INTERVAL_S * 1.5)
        thread._on_commit(AWAY, [])
        await asyncio.sleep(INTERVAL_S)
        assert group.told == [(COUNT, True)] * 2
        done = SimpleNamespace(topic="in", partition=0, offset=COUNT, error=None)
        thread._on_commit(None, [done])
        await asyncio.sleep(INTERVAL_S * 2)
        assert group.told == [(COUNT, True)] * 2
        committer.stop()
        await running

    simulate(main())
