"""Members that sleep, are evicted and come back; topics that grow; brokers that just began."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, until
from confluent_kafka import Consumer, ConsumerGroupState
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from copies import PARTITIONS, Copy, both, message, written

from streamproc.kafka.exactly_once import membership_of
from tests.conftest import summary

pytestmark = pytest.mark.forked

SESSION_S = 2
SHORT = {"session.timeout.ms": SESSION_S * 1000, "heartbeat.interval.ms": 300}
SPARE = 2  # partitions that are added


def grow(broker: Broker, topic: str) -> None:
    new = NewPartitions(topic, PARTITIONS + SPARE)
    admin = broker.admin  # which must not end before it has its answer
    admin.create_partitions([new])[topic].result(PATIENCE_S)


def ended(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, said.decode()
    return summary(said)


def members(it: Copy) -> int:
    """Of a group in which no rebalance goes on."""
    admin = it.broker.admin
    found = admin.describe_consumer_groups([it.group])[it.group].result(PATIENCE_S)
    return len(found.members) if found.state is ConsumerGroupState.STABLE else 0


@pytest.mark.parametrize("instance", [None, "one"])
def test_what_librdkafka_says_of_us(broker: Broker, topic: Any, instance: str | None) -> None:
    """Where the member id stands in its metadata, and the generation, in this version as well."""
    name = topic()
    config = {"bootstrap.servers": broker.bootstrap, "group.id": name}
    consumer = Consumer(config | ({"group.instance.id": instance} if instance else {}))
    try:
        assert membership_of(consumer.consumer_group_metadata()).member == b""
        consumer.subscribe([name])
        until(lambda: consumer.poll(0.05) is None and bool(consumer.assignment()), "a partition")
        found = membership_of(consumer.consumer_group_metadata())
        assert (found.member.decode(), found.is_static) == (consumer.memberid(), bool(instance))
        assert found.generation == 1
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("exactly_once", "grown"),
    [("true", "source"), ("true", "source and target"), ("false", "source")],
)
def test_topics_that_grow(
    copy: Any, produce: Any, start: Any, run: Any, consume_all: Any, exactly_once: str, grown: str
) -> None:
    """Records of the new partitions go where there are partitions, none is lost, and it runs on."""
    it = copy(exactly_once)
    arguments = it.arguments("none", **{"topic.metadata.refresh.interval.ms": 500})
    produce(it.source, [message(n) for n in range(40)])
    process = start(*arguments)
    until(lambda: len(consume_all(it.target)) == 40, "the first")
    for topic in [it.source, it.target][: 1 + (" and " in grown)]:
        grow(it.broker, topic)
    more = [{**message(n), "partition": PARTITIONS + n % SPARE} for n in range(40, 80)]
    produce(it.source, more)
    until(lambda: len(consume_all(it.target)) == 80, "the rest")
    assert ended(process)["ok"] == 80
    assert Counter(written(consume_all(it.target))) == Counter(range(80))
    again = run(*arguments, "--stop-at-end")
    assert (again.returncode, summary(again.stderr)["received"]) == (0, 0)


def test_limits_that_differ(
    copy: Any, topic: Any, produce: Any, run: Any, consume_all: Any
) -> None:
    """A dead letter may be larger than any output: one producer takes what either topic takes."""
    it, letters, big = copy("true", **{"max.message.bytes": "10000"}), topic(), b"no JSON" * 9000
    produce(it.source, [message(0), {**message(4), "value": big}, message(8)])
    done = run(
        *it.arguments("none", "--stop-at-end", "--on-error", "dead-letter"),
        "--dead-letter", f"kafka://{it.broker.bootstrap}/{letters}",
    )  # fmt: skip
    assert (done.returncode, summary(done.stderr)["dead_lettered"]) == (3, 1), done.stderr.decode()
    assert [each.value for each in consume_all(letters)] == [big]
    assert written(consume_all(it.target)) == [0, 8]


@both
def test_a_limit_of_ones_own(
    copy: Any, produce: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """`message.max.bytes` as a property: what is larger fails, and is never said to be there."""
    it = copy(exactly_once + "&message.max.bytes=20000")
    produce(it.source, [message(0), message(4, x="x" * 50_000), message(8)])
    done = run(*it.arguments("none", "--stop-at-end"))
    counts = summary(done.stderr)
    assert (done.returncode, counts["ok"], counts["failed"]) == (3, 2, 1)
    found = consume_all(it.target)
    assert written(found) == [0, 8]
    assert sum(b'"sink"' in each.value for each in found) == 1


def test_a_member_that_is_evicted_while_it_gives_back(
    copy: Any, produce: Any, start: Any, folder: Path, consume_all: Any
) -> None:
    """It comes back under another id: what it had before is not its own any more."""
    it = copy("true")
    first = start(*it.arguments("gate", "--timeout", "90", instance="a", **SHORT))
    produce(it.source, [message(n) for n in range(8)])
    until(lambda: len(consume_all(it.target)) == 8, "the first")
    produce(it.source, [message(n, wait=True) for n in range(8, 16)])
    produce(it.source, [message(n, wait="wide") for n in range(16, 20)])  # while it gives back
    second = start(*it.arguments("gate", "--timeout", "90", instance="b", **SHORT))
    until(lambda: members(it) == 2, "both")
    time.sleep(1)  # it is told what to give back, and waits for its records
    first.send_signal(signal.SIGSTOP)
    (folder / "open").touch()
    until(lambda: len(consume_all(it.target)) == 16, "the other one's work")
    first.send_signal(signal.SIGCONT)
    time.sleep(1.5)  # it hears that it is no member, in the middle of giving back
    (folder / "wide").touch()
    until(lambda: len(set(written(consume_all(it.target)))) == 20, "all")
    until(lambda: members(it) == 2 and sum(it.committed().values()) >= 20, "both again")
    time.sleep(1.5)  # for what it might commit of what it had
    counts = [ended(process) for process in (first, second)]
    assert Counter(written(consume_all(it.target))) == Counter(range(20))
    assert sum(each["ok"] for each in counts) == 20


@both
def test_a_pause_that_is_longer_than_a_session(
    copy: Any, produce: Any, start: Any, consume_all: Any, exactly_once: str
) -> None:
    """The others take over meanwhile. It goes on with what it is given then, as a new member."""
    it = copy(exactly_once)
    first = start(*it.arguments("slow", "-j", "4", **SHORT))
    produce(it.source, [message(n, s=0.1) for n in range(100)])
    until(lambda: len(consume_all(it.target)) > 10, "the first")
    first.send_signal(signal.SIGSTOP)
    second = start(*it.arguments("slow", "-j", "4", **SHORT))
    until(lambda: len(set(written(consume_all(it.target)))) == 100, "the other one's work")
    first.send_signal(signal.SIGCONT)
    produce(it.source, [message(n) for n in range(100, 200)])
    until(lambda: len(set(written(consume_all(it.target)))) == 200, "the rest")
    until(lambda: sum(it.committed().values()) == 200, "offsets")
    ended(first)
    ended(second)
    counts = Counter(written(consume_all(it.target)))
    assert counts.keys() == set(range(200))
    assert exactly_once == "false" or set(counts.values()) == {1}


@both
def test_an_outage_that_is_longer_than_a_session(
    copy: Any, produce: Any, start: Any, consume_all: Any, exactly_once: str
) -> None:
    """Whether the group still knows it or not, nothing is missing, nor doubled if so wished."""
    it = copy(exactly_once)
    produce(it.source, [message(n, s=0.05) for n in range(200)])
    process = start(*it.arguments("slow", "-j", "4", instance="one", **SHORT))
    until(lambda: len(consume_all(it.target)) > 10, "the first")
    it.broker.stop()
    time.sleep(SESSION_S + 1)  # what is tested is this long
    it.broker.start()
    until(lambda: len(set(written(consume_all(it.target)))) == 200, "the rest")
    until(lambda: sum(it.committed().values()) == 200, "offsets")
    ended(process)
    counts = Counter(written(consume_all(it.target)))
    assert counts.keys() == set(range(200))
    assert exactly_once == "false" or set(counts.values()) == {1}


def test_a_stage_that_takes_longer_than_the_poll_interval(
    copy: Any, produce: Any, start: Any, folder: Path, consume_all: Any
) -> None:
    """Polling goes on meanwhile: it keeps its partitions, and no stage is called twice."""
    it = copy("true")
    produce(it.source, [message(n, s=SESSION_S * 2.5 if n == 3 else 0) for n in range(40)])
    limits = {**SHORT, "max.poll.interval.ms": SESSION_S * 1000}
    process = start(*it.arguments("slow", "-j", "64", **limits))
    until(lambda: len(consume_all(it.target)) == 40, "all")
    assert ended(process)["unprocessed"] == 0
    assert Counter((folder / "calls").read_text().split()) == Counter(map(str, range(40)))


def test_a_partition_that_takes_longer_to_give_back_than_the_poll_interval(
    copy: Any, produce: Any, start: Any, consume_all: Any
) -> None:
    """It is given back unfinished after half of that, and the next owner does the rest again."""
    it = copy("true")
    limits = {**SHORT, "max.poll.interval.ms": SESSION_S * 2000}
    produce(it.source, [message(n, s=SESSION_S * 5 if n < 4 else 0) for n in range(40)])
    first = start(*it.arguments("slow", "-j", "64", **limits))
    time.sleep(3)  # it has begun
    second = start(*it.arguments("slow", "-j", "64", **limits))
    until(lambda: len(set(written(consume_all(it.target)))) == 40, "all")
    counts = [ended(process) for process in (first, second)]
    assert Counter(written(consume_all(it.target))) == Counter(range(40))
    assert sum(each["ok"] for each in counts) == 40
    assert counts[0]["unprocessed"] > 0


def test_a_broker_that_has_just_begun(start: Any, run: Any, folder: Path) -> None:
    """It answers, and coordinates no transactions yet: there is `--connect-timeout` for that."""
    coordinator = "__transaction_state"  # which it cannot make on one node
    with Broker(properties={"transaction.state.log.replication.factor": "3"}) as young:
        for topic in ("in", "out"):
            young.create_topic(topic, PARTITIONS)
        arguments = Copy(young, "in", "out", "true").arguments(
            "none", "--stop-at-end", "--log-level", "debug", "--connect-timeout"
        )
        done = run(*arguments, "1")
        assert (done.returncode, young.bootstrap in done.stderr.decode()) == (69, True)
        said = folder / "said"
        with said.open("wb") as stderr:
            process = start(*arguments, str(PATIENCE_S * 2), stderr=stderr)
            until(lambda: b"init_transactions" in said.read_bytes(), "a try that failed")
            young.create_topic(coordinator, 4)
            assert process.wait(PATIENCE_S) == 0, said.read_text()
