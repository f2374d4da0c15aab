"""An instance in the scripted world: its run, and what happens to it in its group."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any
from unittest.mock import patch

from confluent_kafka import TopicPartition
from msgspec import structs
from scripted import (
    DEAD,
    GROUP,
    IN,
    OUT,
    PARTITIONS,
    ScriptedConsumer,
    ScriptedJobs,
    ScriptedProducer,
    ScriptedThread,
    World,
)

from streamproc.errors import FencedError, StreamprocError
from streamproc.interfaces import SinkScope
from streamproc.kafka import calls, client, reports, transactions
from streamproc.kafka.assignment import Assignment
from streamproc.kafka.settings import KafkaSinkSettings, KafkaSourceSettings
from streamproc.kafka.sink import KafkaSink
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.transactions import TransactionalSink
from streamproc.record import Batch, Note
from streamproc.trials.clock import SimulatedLoop
from streamproc.units import Seconds

REVOKE_S, PATIENCE_S = 20.0, 120.0
LIMIT = 1000


class Loop(SimulatedLoop):
    """Nothing takes time in another thread."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class Member:
    """The code under test, with a run in miniature around it."""

    def __init__(
        self,
        world: World,
        dice: random.Random,
        *,
        instance: str | None = None,
        interval_s: float = 0.3,
    ) -> None:
        self.world, self.dice = world, dice
        where = {"brokers": "b:1", "properties": {"heartbeat.interval.ms": "1000"}}
        source = KafkaSourceSettings(topics=(IN,), group=GROUP, instance=instance, **where)
        self.source = KafkaSource(source, lane_control=self)
        sink = KafkaSinkSettings(
            brokers="b:1", topic=OUT, exactly_once=True, transaction_interval=Seconds(interval_s)
        )
        self.source.count_partitions = lambda _: PARTITIONS  # type: ignore[method-assign]
        scope = SinkScope(self.source, lambda *_: Note("failed", b"{}", 1), connect_timeout_s=5.0)
        dead = KafkaSinkSettings(brokers="b:1", topic=DEAD)
        self.letters = KafkaSink(dead, structs.replace(scope, takes_dead_letters=True))
        scope = structs.replace(scope, dead_letters=self.letters)
        self.sink = TransactionalSink(sink, scope, self.source)
        self.sink._new_producer = lambda: ScriptedProducer(world)  # type: ignore[method-assign]
        self.batches: list[Batch] = []
        self.sent: dict[int, list[asyncio.Future[None]]] = {}
        self.silent: set[int] = set()  # what librdkafka holds though the group gave it away
        self.failed: BaseException | None = None

    async def __aenter__(self) -> Member:
        self.patches = ExitStack()
        for where, name, value in (
            (client, "topic_facts", lambda *_: (self.world.out_partitions, LIMIT)),
            (calls, "JobThread", ScriptedJobs),
            (transactions, "_LOOK_S", 0.3),  # less often, for speed
            (reports, "_LOOK_S", 0.1),
            (reports, "_IDLE_S", 0.3),
        ):
            self.patches.enter_context(patch.object(where, name, value))
        self.thread: Any = ScriptedThread(self.world, self.source)
        self.source.thread = self.thread
        self.assignment = self.thread.assignment = Assignment(self.thread, self.source.settings)
        self.consumer = self.thread.consumer
        try:
            await self.letters.__aenter__()
            await self.sink.__aenter__()
        except StreamprocError as error:
            self.failed = error
        self.tasks = [asyncio.create_task(each) for each in (self.read(), self.fetch())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.tasks:
            each.cancel()
        await asyncio.wait(self.tasks)
        await self.sink.__aexit__(None, None, None)
        await self.letters.__aexit__(None, None, None)
        self.patches.close()

    # The run

    async def fetch(self) -> None:
        while True:
            self.assignment.count_if_due()
            if messages := self.consumer.consume(self.dice.randrange(1, 4)):
                self.thread.loop.call_soon(self.source.received, messages, [])
            await asyncio.sleep(0.1 + self.dice.random() * 0.2)

    async def read(self) -> None:
        with suppress(StreamprocError):
            while (found := await self.source.receive()) is not None:
                batch = found[0]
                self.batches.append(batch)
                await asyncio.sleep(self.dice.random() * 0.1)  # the stage
                if batch.is_dropped:
                    continue
                batch.results = [*batch.lines]
                if self.dice.random() < 0.2:
                    self.bury(batch, self.dice.randrange(len(batch)))
                try:
                    receipt = await self.sink.send([(batch, 0, len(batch))])
                except StreamprocError as error:
                    self.failed = self.failed or error
                    return
                receipt.add_done_callback(self.acknowledged)
                self.sent.setdefault(batch.lane, []).append(receipt)

    def bury(self, batch: Batch, i: int) -> None:
        letter = b'{"_error":{"file":"%s","line":%d},"raw":%s}'
        where = batch.cursor.file.encode(), batch.cursor.line + i
        batch.notes[i] = Note("dead_lettered", dead_letter=letter % (*where, b'"{}"'))

    def acknowledged(self, receipt: asyncio.Future[None]) -> None:
        error = None if receipt.cancelled() else receipt.exception()
        self.failed = self.failed or error

    def changed(self, partitions: Iterable[tuple[str, int]]) -> None:
        pass

    def is_open(self, lane: int) -> bool:
        return True

    async def drained(self, lanes: Sequence[int]) -> None:
        for batch in self.batches:
            if batch.lane in lanes and batch.results[0] is None:
                batch.is_dropped = True
        sent = [each for lane in lanes for each in self.sent.get(lane, ())]
        if sent:
            await asyncio.wait(sent)

    def drop(self, lanes: Sequence[int]) -> None:
        for batch in self.batches:
            batch.is_dropped = batch.is_dropped or batch.lane in lanes

    # What happens to it in its group

    async def join(self, partitions: Sequence[int]) -> None:
        """A rebalance that we took part in; these are new to us."""
        world = self.world
        for _ in range(150):  # in vain: the broker ends a transaction that takes too long
            if not world.unstable & {*partitions, *self.silent}:
                break
            await asyncio.sleep(0.1)
        else:
            self.fence()
        world.generation += 1
        if world.member is None:
            world.members += 1
            world.member = b"m%d" % world.members
        self.consumer.member, self.consumer.generation = world.member, world.generation
        kept, self.silent = self.silent, set()
        for p in [*partitions, *kept]:
            world.owner[p] = "us"
        with self.consumer.callback():
            self.assignment._on_assign([TopicPartition(IN, p) for p in partitions])

    async def revoke(self, partitions: Sequence[int]) -> None:
        """These go elsewhere; meanwhile anything may happen."""
        self.world.generation += 1
        self.consumer.generation = self.world.generation
        places = [(IN, p) for p in partitions]
        self.assignment.look()
        drained = self.assignment.give_back(places)
        await asyncio.wait({drained}, timeout=REVOKE_S)
        drained.cancel()
        self.let_go(partitions)
        if self.world.member is not None:
            await self.join(())

    def let_go(self, partitions: Sequence[int]) -> None:
        self.assignment.let_go([(IN, p) for p in partitions])
        self.consumer.incremental_unassign([TopicPartition(IN, p) for p in partitions])
        self.silent.difference_update(partitions)
        for p in partitions:
            self.world.owner[p] = "other"

    def evict(self) -> None:
        """The group goes on without us; we do not know it yet."""
        self.world.member, self.world.generation = None, self.world.generation + 1
        for p, owner in self.world.owner.items():
            self.world.owner[p] = "other" if owner == "us" else owner

    def lose(self) -> None:
        """We are told that all is lost."""
        held = list(self.consumer.positions)
        with self.consumer.callback():
            self.assignment._on_revoke([TopicPartition(IN, p) for p in held], is_lost=True)
        self.consumer.positions.clear()
        self.consumer.member = b""

    async def keep(self, partitions: Sequence[int]) -> None:
        """librdkafka learns that it is no member, and says nothing; these become ours again."""
        self.consumer.member = b""
        gone = [p for p in self.consumer.positions if p not in partitions]
        self.silent = set(self.consumer.positions) & set(partitions)
        if gone:
            places = [TopicPartition(IN, p) for p in gone]
            with self.consumer.callback():
                self.assignment._on_revoke(places, is_lost=False)
            self.consumer.positions = {
                p: at for p, at in self.consumer.positions.items() if p not in gone
            }
        await self.join([p for p in partitions if p not in self.consumer.positions])

    def echo(self) -> None:
        """The group has let us in twice, and we listen to the one that is fenced by that."""
        if self.assignment.has_twin():
            self.failed = self.failed or FencedError("twin")
            return
        replaced = self.consumer
        self.thread.consumer = self.consumer = ScriptedConsumer(self.world)
        self.silent.clear()
        self.assignment.begin_again(replaced)

    def fence(self) -> None:
        """The transaction took too long for the broker."""
        self.world.new_epoch()

    async def finish(self) -> None:
        """Nothing fails any more: until all is committed, or it has given up."""
        self.world.plan.clear()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while self.failed is None and loop.time() < deadline:
            if all(self.world.committed[p] == len(log) for p, log in self.world.logs.items()):
                return
            await asyncio.sleep(0.2)
        assert self.failed is not None, f"not done: {self.world.committed}"
