"""Exactly once as a state machine: what may be committed, by whom, and what every failure does.

               produce            tick, flush, a lane leaves         committed
    ┌───────┐ ─────────► ┌──────┐ ─────────────────► ┌────────────┐ ───────────► EMPTY
    │ EMPTY │            │ OPEN │                    │ COMMITTING │
    └───────┘            └──────┘                    └────────────┘
        ▲                    ▲            not whole, lanes │ │
        │ all lanes          │ the same    are lost, REDO  │ │ REPLACE
        │ are lost           │ bytes again                 ▼ ▼
        │                    │            ┌──────────┐ REPLACE ┌────────┐ more than FENCES
        └────────────────────┴─────────── │ ABORTING │ ──────► │ FENCED │ ─────────► BROKEN
        ▲                    ▲   aborted  └──────────┘         └────────┘
        │ it was committed   │ it was not                           │ init
        └────────────────────┴──────────────────────────────────────┘
    and from everywhere: STOP ─► BROKEN, in which nothing is committed any more

A partition is a *lane* from the moment at which it is assigned until it is given back or lost. A
lane has the number of its assignment, and belongs to the *membership* under which it was taken:
a member id, and generations of the group that follow one another.

    joined as m          generation g + 1, same m            gave it back, or told of a loss
    ──────────► lane of m ───────────────────► lane of m ──────────────────────────────► gone
                    │  another member id, or a generation that went on without us
                    └──────────────────────────► lost: dropped, and taken again from the offset
                                                 that is committed, under a new number

What holds in every state, whatever fails: an offset is committed only in one transaction with all
that was made of the records before it, with the metadata of the membership that its lane is of.
So before offsets are sent: every message is with the producer, none was refused, every lane is
still held under its number, and the metadata that go with them are those that were just compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from streamproc.kafka import client, codes

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

FENCES, FENCES_S = 3, 300.0  # so often in that time it may have been the transaction's timeout
_MAGIC = b"CGMDv2:"


class KafkaCall(Enum):
    """What we ask of librdkafka. REPORT is its answer to PRODUCE, by message."""

    INIT = "init_transactions"
    BEGIN = "begin_transaction"
    PRODUCE = "produce"
    REPORT = "on_delivery"
    OFFSETS = "send_offsets_to_transaction"
    COMMIT = "commit_transaction"
    ABORT = "abort_transaction"
    COMMITTED = "committed"


class Then(Enum):
    """What is done about a failure. The worst one of several counts: the last one here."""

    AGAIN = "the same call once more, after a pause"
    ASK = "the topic's facts are asked for, then it is produced again"
    SETTLE = "tried alone; if it fails again the record fails, and its error goes in its place"
    REDO = "abort, and produce the same bytes again"
    REPLACE = "a new producer of the same name, which ends the old one's transaction; then redo"
    STOP = "the run ends; nothing more is committed"

    def __lt__(self, other: Then) -> bool:
        return _SEVERITY[self] < _SEVERITY[other]


_SEVERITY = {each: i for i, each in enumerate(Then)}


class Row(NamedTuple):
    """A failure of one of `calls`: one of the codes, or one that librdkafka calls `kind`."""

    calls: tuple[KafkaCall, ...]
    codes: tuple[str, ...]
    meaning: str
    then: Then
    kind: str = ""  # "fatal", "abort", "retriable": as `KafkaError` says, whatever the code


_ALL = tuple(KafkaCall)
_OF_PRODUCER = tuple(each for each in KafkaCall if each is not KafkaCall.COMMITTED)
_ASKING = (
    KafkaCall.INIT,
    KafkaCall.BEGIN,
    KafkaCall.OFFSETS,
    KafkaCall.COMMIT,
    KafkaCall.ABORT,
    KafkaCall.COMMITTED,
)

# The first row that fits counts.
TABLE = (
    Row(_ALL, codes.REFUSALS, "we may not do this, or are not who we say", Then.STOP),
    Row(
        (KafkaCall.PRODUCE, KafkaCall.REPORT),
        ("MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"),
        "this record is refused; reported, it took its neighbours with it",
        Then.SETTLE,
    ),
    Row(
        (KafkaCall.PRODUCE, KafkaCall.REPORT),
        ("_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"),
        "the topic has other partitions than we, or the producer, knew",
        Then.ASK,
    ),
    Row((KafkaCall.PRODUCE,), ("_QUEUE_FULL",), "backpressure", Then.AGAIN),
    Row(
        _OF_PRODUCER,
        (),
        "fenced: it took too long, or another one has our name",
        Then.REPLACE,
        "fatal",
    ),
    Row(_OF_PRODUCER, ("_FENCED", "_FATAL"), "the same, said of a single message", Then.REPLACE),
    Row(_OF_PRODUCER, (), "the transaction cannot be committed any more", Then.REDO, "abort"),
    Row((KafkaCall.PRODUCE,), ("_STATE",), "the transaction has failed, or is ending", Then.REDO),
    Row((KafkaCall.PRODUCE,), (), "librdkafka does not take such a message", Then.STOP),
    Row((KafkaCall.REPORT,), (), "not delivered, and no fault of the record", Then.REDO),
    Row(
        (KafkaCall.ABORT, KafkaCall.BEGIN),
        ("_STATE", "_CONFLICT"),
        "librdkafka has lost track of the transaction",
        Then.REPLACE,
    ),
    Row(_ASKING, (), "no answer in time", Then.AGAIN, "retriable"),
    Row(_ASKING, codes.AWAY, "no broker answers", Then.AGAIN),
    Row(_ASKING, codes.COORDINATOR_MOVED, "the coordinator is starting, or moved", Then.AGAIN),
    Row(
        (KafkaCall.OFFSETS,),
        ("UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID", "STALE_MEMBER_EPOCH"),
        "the group went on since we looked: look again at what is still ours",
        Then.REDO,
    ),
    Row((KafkaCall.INIT,), (), "there is no producer of our name", Then.STOP),
    Row((KafkaCall.OFFSETS, KafkaCall.COMMIT), (), "refused for once", Then.REDO),
    Row(
        (KafkaCall.BEGIN, KafkaCall.ABORT, KafkaCall.COMMITTED), (), "refused for once", Then.AGAIN
    ),
)


def row_of(call: KafkaCall, error: KafkaError) -> Row:
    """What `error`, librdkafka's, means after `call`."""
    kinds = {"fatal": error.fatal, "abort": error.txn_requires_abort, "retriable": error.retriable}
    for row in TABLE:
        if call not in row.calls:
            continue
        if row.kind:
            if kinds[row.kind]():
                return row
        elif not row.codes or codes.is_one_of(error, row.codes):
            return row
    raise AssertionError(f"{call} has no last row")


class FailedCallError(Exception):
    """A call that failed and is not simply repeated: `then` says what is done."""

    def __init__(self, call: KafkaCall, error: KafkaError) -> None:
        self.call = call
        self.error = error
        self.then = row_of(call, error).then
        super().__init__(f"{call.value}: {error.str()}")


class SilentCallError(FailedCallError):
    """A call that is not answered although brokers are there."""

    def __init__(self, call: KafkaCall) -> None:
        code = client.load().KafkaError
        super().__init__(call, code(code._TIMED_OUT, "no answer"))
        self.then = Then.REPLACE


def is_silence(error: KafkaError) -> bool:
    """Whether it is no answer of a broker's."""
    return codes.is_one_of(error, codes.AWAY)


def is_purged(error: KafkaError) -> bool:
    """Whether a message was thrown away because its transaction failed, for a cause of its own."""
    code = client.load().KafkaError
    return error.code() in (code._PURGE_QUEUE, code._PURGE_INFLIGHT)


def worst_of(reports: Sequence[KafkaError]) -> FailedCallError | None:
    """What messages that are not delivered mean for their transaction.

    None: there are none. Raises it, unless all were purged: that hides the cause.
    """
    failures = [FailedCallError(KafkaCall.REPORT, each) for each in reports]
    worst = max(failures, key=lambda each: each.then, default=None)
    if worst is None or all(map(is_purged, reports)):
        return worst
    raise worst


class NotOursError(Exception):
    """A lane with output in the transaction went elsewhere."""


class Membership(NamedTuple):
    """As whom, and since when, the group knows us."""

    member: bytes
    generation: int
    is_static: bool = False

    def goes_on_as(self, later: Membership) -> bool:
        """Whether what was ours is ours still.

        Who misses a generation is no member any more, and comes back with another id. Only a
        static member keeps its id while a generation goes on without it.
        """
        if later.member != self.member or later.generation < self.generation:
            return False
        return not self.is_static or later.generation <= self.generation + 1


def membership_of(metadata: bytes) -> Membership:
    """What stands in librdkafka's metadata of a group: generation, group, member, instance.

    https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_cgrp.c
    (`rd_kafka_consumer_group_metadata_write`); the integer is the machine's.
    """
    from sys import byteorder

    if not metadata.startswith(_MAGIC):  # another version: the whole is who we are
        return Membership(metadata, 0)
    at = len(_MAGIC) + 4
    generation = int.from_bytes(metadata[len(_MAGIC) : at], byteorder, signed=True)
    _, member, rest = metadata[at:].split(b"\0", 2)
    return Membership(member, generation, is_static=len(rest) > 1)


class Fences:
    """How often a producer was fenced lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Once more, at `now`. False: too often for a transaction's timeout."""
        self._times.append(now)
        while self._times[0] < now - FENCES_S:
            self._times.popleft()
        return len(self._times) <= FENCES
