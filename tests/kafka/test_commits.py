"""Offsets at least once: each is said until it is heard, and none after one that is newer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from broker import Broker
from confluent_kafka import Consumer, KafkaError, KafkaException

from streamproc.errors import UnavailableError
from streamproc.kafka import replay
from streamproc.kafka.commits import Commits
from streamproc.kafka.committer import INTERVAL_S, OffsetCommitter
from streamproc.kafka.settings import KafkaSourceSettings
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
        self.told: list[int] = []  # offsets
        self.taken = -1
        self.answers: list[KafkaError | None] = []  # on their way
        self.is_silent = False

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        assert asynchronous, "it lasts as long as a broker is silent"
        [place] = offsets
        self.told.append(place.offset)
        if self.refusals:
            self.answers.append(KafkaError(self.refusals.pop(0)))
        elif not self.is_silent:
            self.answers.append(None)
            self.taken = place.offset

    def committed(self, places: list[Any], timeout: float) -> list[Any]:
        assert timeout < math.inf
        if self.is_silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [SimpleNamespace(offset=self.taken) for _ in places]


class Thread(KafkaThread):
    """Without a thread: what is submitted is done, and what is answered is heard then."""

    def __init__(self, group: Group) -> None:
        self.consumer = self.group = group
        self.is_in_a_callback = False
        self.commits = Commits(self)
        self.assignment: Any = SimpleNamespace(look=lambda: None, numbers={LANE})

    async def submit(self, function: Any) -> Any:
        result = function()
        while self.group.answers and not self.is_in_a_callback:
            self.answer(self.group.answers.pop(0))
        return result

    def answer(self, error: KafkaError | None) -> None:
        """As a poll hears it."""
        done = SimpleNamespace(topic="in", partition=0, offset=self.group.taken, error=None)
        self.commits.answered(error, [done] if error is None else [])

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
        assert group.told == [COUNT] * 3

    simulate(main())


@pytest.mark.parametrize("is_returning", [True, False])
def test_the_thread_is_in_a_callback(caplog: pytest.LogCaptureFixture, is_returning: bool) -> None:
    """It hears no answer there, also when the run ends meanwhile: it looks."""

    async def main() -> None:
        group, thread, committer = world()
        thread.is_in_a_callback = True
        await (committer.drained([LANE]) if is_returning else committer.close(finished=True))
        assert group.told == [COUNT]

    simulate(main())
    assert not caplog.text


def test_we_may_not_commit(caplog: pytest.LogCaptureFixture) -> None:
    """It is no use to say it again."""

    async def main() -> None:
        group, _, committer = world(KafkaError.GROUP_AUTHORIZATION_FAILED)
        await committer.close(finished=True)
        assert len(group.told) == 1

    simulate(main())
    assert "offsets were not committed" in caplog.text


@pytest.mark.parametrize("is_returning", [True, False])
def test_a_broker_is_silent_at_the_end(
    caplog: pytest.LogCaptureFixture, is_returning: bool
) -> None:
    """What it may have heard is not waited for, however long it says nothing."""

    async def main() -> None:
        group, thread, committer = world()
        group.is_silent = True
        await (committer.drained([LANE]) if is_returning else committer.close(finished=True))
        assert set(group.told) == {COUNT}
        assert thread.commits.unanswered

    simulate(main())
    assert "offsets were not committed" in caplog.text


def test_one_after_the_other() -> None:
    """librdkafka repeats those that fail: of two on their way the older may come last."""

    async def main() -> None:
        group, thread, committer = world()
        group.is_silent = True
        running = asyncio.create_task(committer.run())
        await asyncio.sleep(INTERVAL_S * 3.5)
        assert group.told == [COUNT]
        committer.stop()
        await running
        closing = asyncio.create_task(committer.close(finished=True))
        await asyncio.sleep(INTERVAL_S)
        assert group.told == [COUNT]
        group.is_silent = False
        thread.answer(AWAY)
        await closing
        assert group.told == [COUNT] * 2

    simulate(main())


def test_what_failed_is_said_again() -> None:
    """And what was confirmed is not."""

    async def main() -> None:
        group, _, committer = world(KafkaError._TRANSPORT)
        running = asyncio.create_task(committer.run())
        await asyncio.sleep(INTERVAL_S * 5)
        assert group.told == [COUNT] * 2
        committer.stop()
        await running

    simulate(main())


def test_a_consumer_is_replaced_while_its_commit_is_on_its_way() -> None:
    """Nobody will answer that one: the others go on."""

    async def main() -> None:
        group, thread, committer = world()
        group.is_silent = True
        running = asyncio.create_task(committer.run())
        await asyncio.sleep(INTERVAL_S * 1.5)
        group.is_silent = False
        thread.commits.give_up()
        await asyncio.sleep(INTERVAL_S * 3)
        assert group.told == [COUNT] * 2
        committer.stop()
        await running

    simulate(main())


@pytest.mark.parametrize("is_silent", [True, False])
def test_replay_is_not_heard(
    broker: Broker,
    topic: Callable[..., str],
    produce: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    is_silent: bool,
) -> None:
    """All is given back: it ends, and says that the group does not know."""
    name = topic(1)
    produce(name, [b'{"n":1,"_error":{}}'])

    class Away(Consumer):
        def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
            assert asynchronous, "it lasts as long as a broker is silent"
            if not is_silent:
                raise KafkaException(AWAY)

    monkeypatch.setattr(confluent_kafka, "Consumer", Away)
    monkeypatch.setattr(replay, "_TIMEOUT_S", 1.0)
    settings = KafkaSourceSettings(brokers=broker.bootstrap, topics=(name,), group=name)
    out = BytesIO()
    with pytest.raises(UnavailableError, match="all is given back, and not committed"):
        replay.Replay(settings, lambda _: None).to_lines(out, keep_sources=False)
    assert out.getvalue() == b'{"n":1}\n'
