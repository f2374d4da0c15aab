"""Where reading begins and ends, what is committed, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, until
from confluent_kafka import Consumer, Producer, TopicPartition
from copies import both

from tests.conftest import environment, records, summary

pytestmark = pytest.mark.forked

NOWHERE = "127.0.0.1:1"
TIME = 1_600_000_000_000  # 2020-09-13T12:26:40Z
SLOW = """
import asyncio, random
async def slow(record):
    await asyncio.sleep(random.random() * 0.02)
async def long(record):
    await asyncio.sleep(1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages.py").write_text(SLOW)
    return tmp_path


def url(where: Broker | str, name: str, **query: Any) -> str:
    pairs = "&".join(f"{key}={value}" for key, value in query.items())
    return f"kafka://{where if isinstance(where, str) else where.bootstrap}/{name}?{pairs}"


class Group:
    """What a group has committed in a topic, by partition; -1001 for nothing."""

    def __init__(self, broker: Broker, name: str, topic: str, partitions: int) -> None:
        self._settings = {"bootstrap.servers": broker.bootstrap, "group.id": name}
        self._places = [TopicPartition(topic, each) for each in range(partitions)]

    def committed(self) -> list[int]:
        consumer = Consumer(self._settings)
        try:
            return [each.offset for each in consumer.committed(self._places, PATIENCE_S)]
        finally:
            consumer.close()

    def ends(self) -> list[int]:
        """The high watermarks, control records included."""
        consumer = Consumer({**self._settings, "isolation.level": "read_uncommitted"})
        try:
            return [consumer.get_watermark_offsets(each, PATIENCE_S)[1] for each in self._places]
        finally:
            consumer.close()

    def commit(self, offsets: Iterable[int]) -> None:
        consumer = Consumer(self._settings)
        for place, offset in zip(self._places, offsets, strict=True):
            consumer.commit(
                offsets=[TopicPartition(place.topic, place.partition, offset)], asynchronous=False
            )
        consumer.close()


def numbered(*numbers: int, partition: int = 0) -> list[dict[str, Any]]:
    return [
        {"value": b'{"n":%d}' % n, "partition": partition, "timestamp": TIME + n * 1000}
        for n in numbers
    ]


def test_where_a_group_begins(broker: Broker, topic: Any, produce: Any, start: Any) -> None:
    """`from` says it, until the group has committed an offset: then that does."""
    name = topic(2)
    produce(name, numbered(*range(6)))
    begins = {
        "": range(6),
        "committed": range(6),
        "beginning": range(6),
        "end": range(0),
        "-2": range(4, 6),
        "-100": range(6),
        "2020-09-13T12:26:42Z": range(2, 6),
        "2020-09-13T14:26:42.500%2B02:00": range(3, 6),
        "2020-09-13T14:26:42+02:00": range(2, 6),
        "2040-01-01T00:00:00Z": range(0),
    }

    def read_all() -> dict[str, list[int]]:
        running = {
            begin: start(
                url(broker, name, group=f"g{place}{name}", **({"from": begin} if begin else {})),
                "--stop-at-end", "-e", "none", stderr=subprocess.DEVNULL,
            )
            for place, begin in enumerate(begins)
        }  # fmt: skip
        found = {begin: records(process.communicate()[0]) for begin, process in running.items()}
        assert {process.returncode for process in running.values()} == {0}
        return {begin: [each["n"] for each in lines] for begin, lines in found.items()}

    assert read_all() == {begin: list(numbers) for begin, numbers in begins.items()}
    produce(name, numbered(6))
    produce(name, numbered(7, partition=1))
    assert {begin: sorted(found) for begin, found in read_all().items()} == {
        begin: [6, 7] for begin in begins
    }


def test_offsets_that_are_gone(broker: Broker, topic: Any, produce: Any, run: Any) -> None:
    """How many are lost is said, or it is the end."""
    name = topic(2)
    group, address = Group(broker, name, name, 2), url(broker, name, group=name)
    arguments = ("--stop-at-end", "-e", "none")
    produce(name, numbered(*range(4)) + numbered(*range(4), partition=1))
    assert run(address, *arguments).returncode == 0
    assert group.committed() == [4, 4]
    produce(name, numbered(*range(4, 10)))
    admin = broker.admin
    [deleted] = admin.delete_records([TopicPartition(name, 0, 7)]).values()
    deleted.result(PATIENCE_S)
    done = run(f"{address}&on_gap=stop", *arguments)
    assert (done.returncode, done.stdout) == (69, b"")
    assert f"{name}/0: ".encode() in done.stderr
    assert b" 3 messages lost" in done.stderr
    done = run(address, *arguments)
    assert (done.returncode, [each["n"] for each in records(done.stdout)]) == (0, [7, 8, 9])
    [warning] = done.stderr.splitlines()
    assert f"{name}/0: ".encode() in warning
    assert b" 3 messages lost" in warning
    assert group.committed() == [10, 4]
    assert run(address, *arguments).stderr == b""


def test_offsets_beyond_the_end(broker: Broker, topic: Any, produce: Any, run: Any) -> None:
    """As after a topic was made anew: from the earliest."""
    name = topic(1)
    group = Group(broker, name, name, 1)
    produce(name, numbered(*range(4)))
    group.commit([50])
    done = run(url(broker, name, group=name), "--stop-at-end", "-e", "none")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 4)
    [warning] = done.stderr.splitlines()
    assert f"{name}/0: offset 50 is beyond the end".encode() in warning
    assert group.committed() == [4]


@pytest.mark.parametrize("exactly_once", ["true", "false"])
def test_a_limit(
    broker: Broker, topic: Any, produce: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """What is beyond it is for the next run, even if the end was seen meanwhile."""
    name, target = topic(1), topic(1)
    group = Group(broker, name, name, 1)
    produce(name, numbered(*range(10)))
    arguments = (url(broker, name, group=name), "--stop-at-end", "-e", "stages.py:long",
                 "-o", url(broker, target, exactly_once=exactly_once))  # fmt: skip
    for expected in (4, 8, 10):
        assert run(*arguments, "--limit", "4").returncode == 0
        assert group.committed() == [expected]
    assert [json.loads(each.value)["n"] for each in consume_all(target)] == list(range(10))


@pytest.mark.parametrize("exactly_once", ["true", "false"])
def test_an_end_of_control_records(
    broker: Broker, topic: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """The markers of transactions are no messages, and offsets go past them."""
    name, target = topic(3), topic(1)
    group = Group(broker, name, name, 3)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": name})
    producer.init_transactions()
    for partitions, is_good in ([0, 0, 0], True), ([0, 1], False):
        producer.begin_transaction()
        for each in partitions:
            producer.produce(name, b'{"good":%s}' % str(is_good).lower().encode(), partition=each)
        producer.flush()
        (producer.commit_transaction if is_good else producer.abort_transaction)()
    assert group.ends() == [6, 2, 0]
    done = run(url(broker, name, group=name), "--stop-at-end", "-e", "none", "--summary", "json",
               "-o", url(broker, target, exactly_once=exactly_once))  # fmt: skip
    assert (done.returncode, summary(done.stderr)["received"]) == (0, 3)
    assert [each.value for each in consume_all(target)] == [b'{"good":true}'] * 3
    assert group.committed()[:2] == [6, 2]


@both
def test_two_instances_to_the_end(
    broker: Broker, topic: Any, produce: Any, start: Any, consume_all: Any, exactly_once: str
) -> None:
    """Both end, and each record was the work of one of them."""
    name, target, count = topic(4), topic(4), 2000
    produce(name, [{"value": b'{"n":%d}' % n, "partition": n % 4} for n in range(count)])
    sink = url(broker, target, exactly_once=exactly_once)
    arguments = (url(broker, name, group=name), "--stop-at-end", "-e", "stages.py:slow", "-j", "8",
                 "-o", sink, "--summary", "json")  # fmt: skip
    running = [start(*arguments) for _ in range(2)]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(summary(each)["ok"] for each in said) == count
    found = Counter(json.loads(each.value)["n"] for each in consume_all(target))
    assert found == Counter(range(count))
    assert Group(broker, name, name, 4).committed() == [count // 4] * 4


def test_offsets_are_never_ahead_of_the_output(
    broker: Broker, topic: Any, produce: Any, start: Any, run: Any, consume_all: Any
) -> None:
    """Whatever moment kill -9 comes at; and the next run does the rest."""
    name, target, count = topic(2), topic(2), 4000
    group = Group(broker, name, name, 2)
    produce(name, [{"value": b'{"n":%d}' % n, "partition": n % 2} for n in range(count)])
    arguments = (url(broker, name, group=name, **{"session.timeout.ms": 6000}),
                 "-e", "stages.py:slow", "-j", "8", "-o", url(broker, target))  # fmt: skip
    process = start(*arguments, stderr=subprocess.DEVNULL)
    until(lambda: min(group.committed()) > 0, "offsets")
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed, found = group.committed(), consume_all(target)
    assert 0 < sum(committed) < count
    for partition in range(2):
        there = {json.loads(each.value)["n"] for each in found if each.partition == partition}
        assert there >= set(range(partition, 2 * committed[partition], 2))
    assert run(*arguments, "--stop-at-end").returncode == 0
    assert {json.loads(each.value)["n"] for each in consume_all(target)} == set(range(count))
    assert group.committed() == [count // 2] * 2


SOURCE, SINK = url(NOWHERE, "a", group="g"), url(NOWHERE, "b", exactly_once="true")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((SOURCE, "-o", SINK, "--unordered"), 78, "--unordered"),
        ((SOURCE, "-o", url("127.0.0.1:2", "b", exactly_once="true")), 78, "same cluster"),
        ((url(NOWHERE, "a"), "-o", SINK), 78, "group"),
        (("-o", SINK), 78, "Kafka"),
        ((SOURCE, "-o", SINK, "--on-error", "dead-letter", "--dead-letter", "x"), 78, "topic"),
        ((f"{SOURCE}&isolation.level=read_uncommitted", "-o", SINK), 78, "read_committed"),
        ((f"{SOURCE}&from=yesterday",), 78, "yesterday"),
        ((f"{SOURCE}&from=2024-13-01",), 78, "2024-13-01"),
        ((f"{SOURCE}&on_gap=latest",), 78, "on_gap"),
        ((SOURCE, "--checkpoint", "x"), 2, "--checkpoint"),
        ((SOURCE, "--checkpoint", "x", "--resume", "-o", "y"), 2, "--resume"),
        ((SOURCE, "stages.py"), 2, "INPUT"),
        ((SOURCE, url(NOWHERE, "b")), 2, "INPUT"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_refused(
    run: Callable[..., Any], folder: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    """Before a broker is asked for, or a file is made."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert reason in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert {each.name for each in folder.iterdir()} <= {"stages.py", "__pycache__"}


@pytest.mark.parametrize("arguments", [[SOURCE], ["-o", url(NOWHERE, "b")]], ids=["in", "out"])
def test_without_the_package(folder: Path, arguments: list[str]) -> None:
    """It is an extra, and the message says how to get it."""
    code = (
        "import sys; sys.modules['confluent_kafka'] = None\n"
        "from streamproc.cli.main import main\n"
        f"sys.argv = ['streamproc', *{arguments!r}]; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"{}\n", capture_output=True, cwd=folder,
        env=environment({}), timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"pip install 'streamproc[kafka]'" in done.stderr
