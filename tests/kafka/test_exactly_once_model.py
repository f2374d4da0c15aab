"""Exactly once in a scripted world: each call fails in each way at each moment, and at random."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from member import LIMIT, Loop, Member
from scripted import HANGS, PARTITIONS, World, failure

from streamproc.errors import FencedError, StreamprocError, UnavailableError
from streamproc.kafka.exactly_once import TABLE, KafkaCall, Row, Then, row_of

pytestmark = pytest.mark.mock_will_do
ALL = list(range(PARTITIONS))
SEQUENCES = 5000
PARTS = 5


def play(main: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def ways() -> Iterator[tuple[KafkaCall, Row, str, str]]:
    """Each row, for each of its calls and codes."""
    for row in TABLE:
        for call in row.calls:
            for code in row.codes or ("UNKNOWN",):
                yield call, row, code, row.kind


WAYS = [each for each in ways() if row_of(each[0], failure(each[2], each[3])) is each[1]]

PASSING = [each for each in WAYS if each[1].then is not Then.STOP]


async def quiet(it: Member) -> None:
    """Nothing but the failure."""


async def revoked(it: Member) -> None:
    await it.revoke([0])
    it.world.others_work(0, 2)
    await it.join([0])


async def lost(it: Member) -> None:
    it.evict()
    it.world.others_work(1, 3)
    it.lose()
    await it.join(ALL)


async def evicted(it: Member) -> None:
    """While it gives a partition back; it comes back, and librdkafka says nothing of it."""
    leaving = asyncio.ensure_future(it.revoke([0]))
    await asyncio.sleep(0.01)
    it.evict()
    for p in ALL:
        it.world.others_work(p, 2)
    it.consumer.member = b""
    await leaving
    await it.keep([1, 2])
    await it.join([0])


async def fenced(it: Member) -> None:
    it.fence()


async def grown(it: Member) -> None:
    it.world.out_partitions += 2
    await it.join(())


async def moved(it: Member) -> None:
    for call in (KafkaCall.OFFSETS, KafkaCall.COMMIT, KafkaCall.ABORT):
        it.world.plan[call].append((failure("NOT_COORDINATOR"), False))


async def shrunk(it: Member) -> None:
    """What the producer knows is more than what there is."""
    it.world.out_partitions = 2


async def slept(it: Member) -> None:
    it.evict()
    it.fence()
    it.world.others_work(2, 2)
    await asyncio.sleep(3)
    it.lose()
    await it.join(ALL)


async def echoed(it: Member) -> None:
    """Brokers were silent for longer than a session, and then read all that we had asked."""
    it.evict()
    it.world.others_work(1, 2)
    it.consumer.member = b""
    it.echo()
    await it.join(ALL)


async def deafened(it: Member) -> None:
    """A broker that has just begun told our producer of no brokers, and of no topic."""
    it.sink.producer.is_deaf = True


STEPS = (quiet, revoked, lost, evicted, fenced, grown, shrunk, moved, slept, echoed, deafened)


@pytest.mark.parametrize(
    ("step", "instance"),
    [
        *((step, None) for step in STEPS),
        *((step, "named") for step in (fenced, evicted, slept, echoed)),
    ],
)
def test_each_call_fails_in_each_way_at_each_step(step: Any, instance: str | None) -> None:
    """What stops, stops; everything else ends with each record once and in order."""

    async def one(call: KafkaCall, row: Row, code: str, kind: str, *, after: bool) -> None:
        world = World(4)
        async with Member(world, random.Random(1), instance=instance) as it:
            await it.join(ALL)
            await asyncio.sleep(0.35)
            world.plan[call].append((failure(code, kind), after))
            if call in (
                KafkaCall.BEGIN,
                KafkaCall.INIT,
                KafkaCall.ABORT,
                KafkaCall.COMMITTED,
            ):  # what it takes to get there
                first = "fatal" if call is KafkaCall.INIT else "abort"
                world.plan[KafkaCall.COMMIT].append((failure("UNKNOWN", first), False))
            await step(it)
            await asyncio.sleep(1)
            await it.finish()
        if it.failed is not None:
            assert row.then is Then.STOP
            assert isinstance(it.failed, StreamprocError)

    seen: set[tuple[KafkaCall, int]] = set()
    for call, row, code, kind in WAYS:
        if step is not quiet and (call, id(row)) in seen:
            continue  # the codes of a row are all the same to us
        seen.add((call, id(row)))
        for after in (False, True) if call in (KafkaCall.OFFSETS, KafkaCall.COMMIT) else (False,):
            try:
                play(lambda: one(call, row, code, kind, after=after))  # noqa: B023 - at once
            except BaseException as error:
                error.add_note(f"{call} {code} {kind} after={after}: {row.then}")
                raise


@pytest.mark.parametrize("call", [KafkaCall.INIT, KafkaCall.BEGIN])
def test_a_start_that_fails(call: KafkaCall) -> None:
    """What passes is waited for; everything else ends it before the first record."""

    async def one(row: Row, code: str, kind: str) -> None:
        world = World(2)
        world.plan[call].append((failure(code, kind), False))
        async with Member(world, random.Random(1)) as it:
            assert (it.failed is None) is (row.then is Then.AGAIN), (code, kind, it.failed)
            if it.failed is None:
                await it.join(ALL)
                await it.finish()

    for each, row, code, kind in WAYS:
        if each is call:
            play(lambda: one(row, code, kind))  # noqa: B023 - at once


def test_a_start_without_a_coordinator_ends_in_time() -> None:
    """`--connect-timeout`, and not for ever."""

    async def main() -> None:
        world = World(2)
        world.plan[KafkaCall.INIT].extend([(failure("COORDINATOR_LOAD_IN_PROGRESS"), False)] * 1000)
        async with Member(world, random.Random(1)) as it:
            assert isinstance(it.failed, UnavailableError)

    play(main)


@pytest.mark.parametrize(("instance", "kind"), [("named", FencedError), (None, UnavailableError)])
def test_a_producer_that_is_fenced_again_and_again(instance: str | None, kind: type) -> None:
    """Three times it may have slept; then it is not alone: 70 with a name, else 69."""

    async def main() -> None:
        world = World(400)
        async with Member(world, random.Random(1), instance=instance) as it:
            await it.join(ALL)
            for _ in range(3):
                it.fence()
                await asyncio.sleep(4)
            assert it.failed is None
            it.fence()
            await asyncio.sleep(4)
            assert isinstance(it.failed, kind)

    play(main)


def test_a_transaction_may_be_open_as_long_as_it_is_meant_to() -> None:
    """The broker ends it some time after the interval, not within."""

    async def main() -> None:
        async with Member(World(2), random.Random(1), interval_s=40.0) as it:
            assert it.sink._config["transaction.timeout.ms"] >= 50_000

    play(main)


@pytest.mark.parametrize("outages", [0, 1])
def test_a_consumer_that_is_not_told_what_is_committed(outages: int) -> None:
    """By a coordinator that is loading, say: it is asked again, and the run goes on."""

    async def main() -> None:
        world = World(40)
        async with Member(world, random.Random(1)) as it:
            await it.join(ALL)
            await asyncio.sleep(0.35)
            it.thread.broker_monitor.outages += outages
            world.plan[KafkaCall.COMMIT].append((failure("UNKNOWN", "abort"), False))
            silence = failure("_TIMED_OUT", "retriable")
            world.plan[KafkaCall.COMMITTED] += [(silence, False)] * 1000
            await asyncio.sleep(60)
            await it.finish()
            assert it.failed is None

    play(main)


def test_a_producer_that_knows_neither_brokers_nor_topic() -> None:
    """Another one takes its name, and soon."""

    async def main() -> None:
        world = World(40)
        async with Member(world, random.Random(1)) as it:
            await it.join(ALL)
            await asyncio.sleep(0.35)
            await deafened(it)
            await asyncio.sleep(60)
            assert world.calls.count(KafkaCall.INIT) > 1
            await it.finish()
            assert it.failed is None

    play(main)


@pytest.mark.parametrize(
    "call", [KafkaCall.OFFSETS, KafkaCall.COMMIT, KafkaCall.ABORT, KafkaCall.INIT]
)
@pytest.mark.parametrize("how", ["does not come back", "has no answer again and again"])
def test_a_producer_that_has_lost_the_brokers(call: KafkaCall, how: str) -> None:
    """While they answer others: another producer takes its name, as often as need be."""

    async def main() -> None:
        world = World(40)
        async with Member(world, random.Random(1), instance="named") as it:
            await it.join(ALL)
            await asyncio.sleep(0.35)
            if call in (KafkaCall.ABORT, KafkaCall.INIT):  # what it takes to get there
                first = "fatal" if call is KafkaCall.INIT else "abort"
                world.plan[KafkaCall.COMMIT].append((failure("UNKNOWN", first), False))
            silence = failure("_TIMED_OUT", "retriable")
            times, error = (5, HANGS) if "back" in how else (1000, silence)
            world.plan[call] += [(error, False)] * times
            await asyncio.sleep(200)
            world.plan[call].clear()
            await it.finish()
            assert it.failed is None
            assert world.calls.count(KafkaCall.INIT) > (5 if call is KafkaCall.INIT else 1)

    play(main)


def test_what_has_nothing_in_its_place_when_its_partition_goes() -> None:
    """It is the next owner's: for us it is no reason to end."""

    async def main() -> None:
        world = World(4)
        async with Member(world, random.Random(1)) as it:
            it.sink.topic.max_bytes = 10  # for an error, too
            await it.join(ALL)
            while not any(group.refused for group in it.sink._open):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            it.evict()
            it.lose()
            it.sink.topic.max_bytes = LIMIT
            await it.join(ALL)
            await it.finish()
            assert it.failed is None

    play(main)


def test_brokers_that_are_away_are_waited_for() -> None:
    """No producer is replaced while none of them answers anybody."""

    async def main() -> None:
        world = World(40)
        async with Member(world, random.Random(1)) as it:
            await it.join(ALL)
            it.thread.broker_monitor.is_doubted = True
            world.plan[KafkaCall.OFFSETS] += [(HANGS, False)]
            await asyncio.sleep(300)
            assert world.calls.count(KafkaCall.INIT) == 1
            it.thread.broker_monitor.is_doubted = False
            await it.finish()
            assert world.calls.count(KafkaCall.INIT) == 2

    play(main)


def test_every_row_is_reached_and_every_call_has_a_last_one() -> None:
    """No row stands behind one that takes all that it means."""
    assert {id(row) for _, row, *_ in WAYS} == {id(row) for row in TABLE}
    for call in KafkaCall:
        assert row_of(call, failure("UNKNOWN")).calls


@pytest.mark.parametrize("part", range(PARTS))
def test_5000_random_sequences(part: int) -> None:
    """Whatever fails in whatever order: what is committed is whole, and in the end that is all.

    `World.commit` compares each time. After three fences in five minutes it may have given up.
    """

    async def all_of_them() -> None:
        for seed in range(part, SEQUENCES, PARTS):
            try:
                await sequence(random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise

    play(all_of_them)


async def sequence(dice: random.Random) -> None:
    world, instance = World(dice.randrange(2, 6)), dice.choice([None, "named"])
    async with Member(world, dice, instance=instance) as it:
        await it.join(ALL)
        for _ in range(dice.randrange(1, 5)):
            await asyncio.sleep(dice.random() * 0.4)
            await happen(it, dice)
        await it.finish()
    if it.failed is not None:
        assert isinstance(it.failed, FencedError | UnavailableError), it.failed


async def happen(it: Member, dice: random.Random) -> None:
    """Something, or several things."""
    if dice.random() < 0.6:
        call, _, code, kind = dice.choice(PASSING)
        it.world.plan[call].append((failure(code, kind), dice.random() < 0.3))
        if call is KafkaCall.ABORT:
            it.world.plan[KafkaCall.COMMIT].append((failure("UNKNOWN", "abort"), False))
    if dice.random() < 0.6 and it.world.member is not None:
        await dice.choice(STEPS)(it)
    for p in ALL:
        it.world.others_work(p, dice.randrange(3))
