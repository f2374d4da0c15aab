"""A group coordinator, a transaction coordinator and a librdkafka that fail when they are told to.

No broker, no threads, and time that jumps: what is real is the code under test. `World` is the
brokers' side and holds what was promised; each commit that takes effect is compared with it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamproc.kafka.exactly_once import KafkaCall

IN, OUT, DEAD, GROUP = "in", "out", "dead", "g"
PARTITIONS = 3


def failure(code: str = "UNKNOWN", kind: str = "") -> KafkaError:
    kinds = {"fatal": "fatal", "abort": "txn_requires_abort", "retriable": "retriable"}
    more: dict[str, Any] = {kinds[kind]: True} if kind else {}
    return KafkaError(getattr(KafkaError, code), code, **more)


HANGS = failure("_TIMED_OUT")  # planned for a call: it never comes back


class World:
    """Topics, the group, and the one transactional id; `us` is the instance under test."""

    def __init__(self, records: int) -> None:
        self.logs = {p: [p * 1000 + i for i in range(records)] for p in range(PARTITIONS)}
        self.committed = dict.fromkeys(self.logs, 0)
        self.visible: dict[int, list[int]] = {p: [] for p in self.logs}
        self.owner = dict.fromkeys(self.logs, "nobody")
        self.member: bytes | None = None  # ours, as the coordinator knows it
        self.generation = self.members = self.epoch = 0
        self.out_partitions = PARTITIONS
        # with offsets in a transaction that is open: nobody is told where they stand (KIP-447)
        self.unstable: set[int] = set()
        # what the next calls do: an error, and whether what was asked happens nevertheless
        self.plan: dict[KafkaCall, deque[tuple[KafkaError, bool]]] = defaultdict(deque)
        self.calls: list[KafkaCall] = []

    def fail(self, call: KafkaCall, *, after: bool = False) -> None:
        """Raise what is planned for `call`, if it is to be raised now."""
        if self.plan[call] and self.plan[call][0][1] is after:
            error = self.plan[call].popleft()[0]
            raise CallThatHangsError if error is HANGS else KafkaException(error)

    def commit(self, records: list[int], offsets: dict[int, int]) -> None:
        """All of it becomes visible, and here is what must hold then."""
        for n in records:
            self.visible[n // 1000].append(n)
        self.committed |= offsets
        self.unstable -= offsets.keys()
        for p, log in self.logs.items():
            assert self.visible[p] == log[: self.committed[p]], f"partition {p}: {self.visible[p]}"

    def new_epoch(self) -> int:
        """What was open under the one before is aborted."""
        self.epoch += 1
        self.unstable.clear()
        return self.epoch

    def others_work(self, p: int, count: int) -> None:
        if self.owner[p] != "us" and p not in self.unstable:
            done = self.committed[p]
            new = self.logs[p][done : done + count]
            self.commit(new, {p: done + len(new)})


class ScriptedProducer:
    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = -1
        self.known = world.out_partitions
        self.error: KafkaError | None = None  # abortable, or fatal
        self.reports: deque[Callable[[], None]] = deque()
        self.is_deaf = False  # a broker that had just begun knew of no brokers, and of no topic
        self.begin()

    def begin(self) -> None:
        self.records: list[int] = []
        self.offsets: dict[int, int] = {}
        self.has_committed = False

    def check(self, call: KafkaCall) -> None:
        self.world.calls.append(call)
        if self.is_deaf:
            raise CallThatHangsError
        if self.epoch not in (-1, self.world.epoch):
            self.error = failure("_FENCED", "fatal")
        try:
            self.world.fail(call)
        except KafkaException as raised:
            error = raised.args[0]
            if error.fatal() or error.txn_requires_abort():
                self.error = error
            raise
        if self.error is not None and (
            self.error.fatal() or call in (KafkaCall.OFFSETS, KafkaCall.COMMIT)
        ):
            raise KafkaException(self.error)

    def init_transactions(self, _: float) -> None:
        self.check(KafkaCall.INIT)
        self.epoch = self.world.new_epoch()

    def begin_transaction(self) -> None:
        self.check(KafkaCall.BEGIN)
        self.begin()

    def produce(
        self, topic: str, value: bytes | None, key: Any, *, on_delivery: Any,
        partition: int = -1, **_: Any,
    ) -> None:  # fmt: skip
        if self.error is not None and not self.error.fatal():
            raise KafkaException(failure("_STATE"))
        if self.is_deaf:
            raise KafkaException(failure("_UNKNOWN_TOPIC"))
        self.check(KafkaCall.PRODUCE)
        if topic == OUT and partition >= self.known:
            raise KafkaException(failure("_UNKNOWN_PARTITION"))
        error = None
        if self.world.plan[KafkaCall.REPORT]:
            error = self.world.plan[KafkaCall.REPORT].popleft()[0]
            self.error = self.error or failure("_FAIL", "abort")
        else:
            self.records.append(number_of(value))
        self.reports.append(lambda: on_delivery(error, None))

    def send_offsets_to_transaction(self, offsets: list[Any], metadata: bytes, _: float) -> None:
        self.check(KafkaCall.OFFSETS)
        world = self.world
        if world.member is None or metadata != metadata_of(world.member, world.generation):
            self.error = failure("ILLEGAL_GENERATION", "abort")
            raise KafkaException(self.error)
        for each in offsets:  # nobody but us compares that
            assert world.owner[each.partition] == "us", f"{each.partition} is not ours"
        self.offsets = {each.partition: each.offset for each in offsets}
        world.unstable |= self.offsets.keys()
        world.fail(KafkaCall.OFFSETS, after=True)

    def commit_transaction(self, _: float) -> None:
        if not self.has_committed:
            self.poll(0)
            self.check(KafkaCall.COMMIT)
            self.world.commit(self.records, self.offsets)
            self.has_committed = True
            self.world.fail(KafkaCall.COMMIT, after=True)

    def abort_transaction(self, _: float) -> None:
        self.check(KafkaCall.ABORT)
        if self.has_committed:
            self.error = failure("INVALID_TXN_STATE", "fatal")
            raise KafkaException(self.error)
        self.error = None
        self.world.unstable.clear()
        self.begin()

    def poll(self, _: float) -> int:
        while self.reports:
            self.reports.popleft()()
        return 0

    flush = poll

    def __len__(self) -> int:
        return len(self.reports)

    def list_topics(self, *_: Any) -> None:
        if self.is_deaf:
            raise KafkaException(failure("_TRANSPORT"))
        self.known = self.world.out_partitions


def number_of(value: bytes | None) -> int:
    """Of a record, of its dead letter, or of the error in its place."""
    from streamproc.codec import decode

    fields = decode(value or b"")
    if "n" in fields:
        return int(fields["n"])
    error = fields["_error"]
    return int(error["file"].split("/")[1]) * 1000 + int(error["line"])


def metadata_of(member: bytes, generation: int) -> bytes:
    head = b"CGMDv2:" + generation.to_bytes(4, sys.byteorder, signed=True)
    return head + GROUP.encode() + b"\0" + member + b"\0\1"


class ScriptedMessage:
    def __init__(self, partition: int, offset: int, n: int) -> None:
        self.place = partition, offset
        self.data = b'{"n":%d}' % n

    def topic(self) -> str:
        return IN

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def value(self) -> bytes:
        return self.data

    def key(self) -> bytes:
        return b"k"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 0, 0


class ScriptedConsumer:
    """Our side of the group: what librdkafka believes, which may be old."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.member, self.generation = b"", -1
        self.positions: dict[int, int] = {}
        self.is_called_back = False

    @contextmanager
    def callback(self) -> Iterator[None]:
        """While it lasts, some calls would abort the process (`kafka/assignment.py`)."""
        self.is_called_back = True
        try:
            yield
        finally:
            self.is_called_back = False

    def subscribe(self, topics: list[str], **_: Any) -> None:
        """What it leads to is up to the test."""

    def consumer_group_metadata(self) -> bytes:
        return metadata_of(self.member, self.generation)

    def committed(self, places: list[Any], timeout: float) -> list[Any]:
        self.world.calls.append(KafkaCall.COMMITTED)
        self.world.fail(KafkaCall.COMMITTED)
        return [TopicPartition(IN, p.partition, self.world.committed[p.partition]) for p in places]

    def get_watermark_offsets(self, place: Any, **_: Any) -> tuple[int, int]:
        return 0, len(self.world.logs[place.partition])

    def list_topics(self, topic: str, **_: Any) -> Any:
        assert not self.is_called_back
        found = SimpleNamespace(error=None, partitions=dict.fromkeys(self.world.logs))
        return SimpleNamespace(topics={topic: found})

    def incremental_assign(self, places: list[Any]) -> None:
        for each in places:
            assert each.partition not in self.positions
            self.positions[each.partition] = each.offset

    def incremental_unassign(self, places: list[Any]) -> None:
        for each in places:
            del self.positions[each.partition]

    def resume(self, _: list[Any]) -> None:
        return

    pause = resume

    def consume(self, count: int) -> list[ScriptedMessage]:
        out = []
        for p, at in self.positions.items():
            new = self.world.logs[p][at : at + count]
            out += [ScriptedMessage(p, at + i, n) for i, n in enumerate(new)]
            self.positions[p] += len(new)
        return out


class ScriptedJobs:
    """`JobThread` in the loop."""

    def __init__(self, *_: object) -> None:
        """As `JobThread`."""

    async def submit(self, function: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        try:
            return function()
        except CallThatHangsError:
            return await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)

    def close(self) -> None:
        return


class CallThatHangsError(Exception):
    """Planned for a call that never comes back."""


class ScriptedThread(ScriptedJobs):
    """`KafkaThread` in the loop: what it posts comes before what it answers."""

    def __init__(self, world: World, listener: Any) -> None:
        self.consumer = ScriptedConsumer(world)
        self.listener = listener
        self.is_closing = False
        self.broker_monitor = SimpleNamespace(is_doubted=False, outages=0)
        self.loop = asyncio.get_running_loop()

    def tell_assigned(self, partitions: Any) -> None:
        self.loop.call_soon(self.listener.assigned, partitions)

    def tell_leaving(self, partitions: Any) -> None:
        self.loop.call_soon(self.listener.leaving, partitions)

    def tell_gone(self, partitions: Any) -> None:
        self.loop.call_soon(self.listener.gone, partitions)

    def drain(self, partitions: Any) -> Any:
        async def drained() -> None:
            await asyncio.sleep(0)
            await self.listener.drained(partitions)

        return asyncio.ensure_future(drained())

    def is_passing(self, error: Any) -> bool:
        return True

    def wait_for_job(self, seconds: float) -> None:
        return

    def patiently(self, attempt: Callable[[], None], _: float) -> bool:
        while True:
            with suppress(KafkaException):
                attempt()
                return True

    def fail(self, error: Any) -> None:
        raise AssertionError(error)
