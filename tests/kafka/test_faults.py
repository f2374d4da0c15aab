"""What goes wrong around the real command: brokers, topics, records, workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, until
from confluent_kafka import Consumer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from copies import PARTITIONS, both, message, written

from tests.conftest import summary

pytestmark = pytest.mark.forked

BIG = 50_000  # bytes, above LIMIT
LIMIT = {"max.message.bytes": "10000"}
ALERTS = """
import json

def note(event):
    with open("heard", "a") as file:
        file.write(json.dumps(event) + "\\n")
"""


def test_a_broker_that_is_away(run: Callable[..., Any]) -> None:
    """As a source, as a sink, for dead letters: it is named."""
    away, wait = "kafka://127.0.0.1:1/x", ("--connect-timeout", "0.5", "-e", "none")
    letters = ("--on-error", "dead-letter", "--dead-letter", away)
    for arguments in ((away,), ("-o", away), letters):
        done = run(*arguments, *wait, stdin=b'{"n":1}\n')
        assert (done.returncode, done.stdout) == (69, b"")
        assert b"127.0.0.1:1" in done.stderr


def test_topics_that_are_missing(
    broker: Broker, topic: Callable[..., str], run: Callable[..., Any]
) -> None:
    """They are named, and never created."""
    missing = topic() + "-missing"
    address = f"kafka://{broker.bootstrap}/{missing}"
    letters = ("--on-error", "dead-letter", "--dead-letter", address)
    for arguments, code in (((address,), 66), (("-o", address), 73), (letters, 73)):
        done = run(*arguments, "-e", "none", stdin=b'{"n":1}\n')
        assert (done.returncode, done.stdout) == (code, b"")
        assert missing.encode() in done.stderr
    assert missing not in broker.admin.list_topics(timeout=PATIENCE_S).topics


@both
def test_a_broker_that_goes_and_comes_back(
    copy: Any, produce: Any, start: Any, consume_all: Any, folder: Path, exactly_once: str
) -> None:
    """Nothing is lost, two lines are all that is said, and hooks hear of it. Exactly once nothing
    is doubled, and no stage is called twice unless the group has given the partitions away."""
    it, count = copy(exactly_once), 400
    (folder / "alerts.py").write_text(ALERTS)
    (folder / "on.toml").write_text('[[on]]\nevent = "*"\npython = "alerts.py:note"\n')
    produce(it.source, [message(n, s=0.05) for n in range(count)])
    with (folder / "said").open("wb") as said:
        more = "-j", "4", "--summary", "none", "-c", "on.toml"
        process = start(*it.arguments("slow", *more), stderr=said)
        until(lambda: len(consume_all(it.target)) > 20, "output")
        it.broker.stop()
        until(lambda: b"no broker" in (folder / "said").read_bytes(), "the warning")
        it.broker.start()
        until(lambda: b"are back" in (folder / "said").read_bytes(), "the other warning")
        until(lambda: len(set(written(consume_all(it.target)))) == count, "the rest")
        until(lambda: sum(it.committed().values()) >= count, "offsets")
        process.terminate()
        assert process.wait(PATIENCE_S) == 143
    gone, back = (folder / "said").read_text().splitlines()
    assert f"no broker of {it.broker.bootstrap} can be reached" in gone
    assert f"brokers of {it.broker.bootstrap} are back" in back
    events = [json.loads(line) for line in (folder / "heard").read_text().splitlines()]
    told = [each for each in events if each["event"].startswith("brokers")]
    assert [each["event"] for each in told] == ["brokers_gone", "brokers_back"]
    assert {each["brokers"] for each in told} == {it.broker.bootstrap}
    parts = [each["partitions"] for each in events if each["event"] == "partitions_changed"]
    assert ", ".join(f"{it.source}/{k}" for k in range(PARTITIONS)) in parts
    found, calls = written(consume_all(it.target)), (folder / "calls").read_text().split()
    assert set(found) == set(map(int, calls)) == set(range(count))
    if exactly_once == "true":
        assert len(found) == count
    if len(parts) == 1:
        assert len(calls) == count


@both
def test_a_record_that_is_too_large(
    copy: Any, produce: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """It fails, in its place, and takes no neighbour with it."""
    it = copy(exactly_once, **LIMIT)
    produce(it.source, [message(n, x="x" * (BIG if n == 41 else 1)) for n in range(100)])
    done = run(*it.arguments("none", "--stop-at-end"))
    assert done.returncode == 3
    counts = summary(done.stderr)
    assert (counts["ok"], counts["failed"]) == (99, 1)
    lines = [json.loads(each.value) for each in consume_all(it.target) if each.partition == 1]
    [place] = [i for i, line in enumerate(lines) if "_error" in line]
    assert place == 41 // PARTITIONS
    assert lines[place]["_error"]["kind"] == "sink"
    assert [line.get("n", 41) for line in lines] == list(range(1, 100, PARTITIONS))
    assert sum(it.committed().values()) >= 100


@both
def test_a_limit_that_shrinks(
    copy: Any, topic: Any, produce: Any, start: Any, folder: Path, consume_all: Any,
    exactly_once: str,
) -> None:  # fmt: skip
    """The broker refuses what we thought it takes: of all that was sent together only that
    fails, and goes to the dead letters as it was."""
    it, letters, big = copy(exactly_once), topic(), {17, 42}
    full = [message(n, wait=True, x="x" * (BIG if n in big else 1)) for n in range(100)]
    produce(it.source, [message(n) for n in range(100, 104)])
    produce(it.source, full)
    process = start(
        *it.arguments("gate", "--stop-at-end", "-j", "200", "--on-error", "dead-letter"),
        "--dead-letter", f"kafka://{it.broker.bootstrap}/{letters}",
    )  # fmt: skip
    until(lambda: len(consume_all(it.target)) == 4, "the first")
    [(name, value)], admin = LIMIT.items(), it.broker.admin
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, it.target, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(PATIENCE_S)
    (folder / "open").touch()
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3, stderr
    counts = summary(stderr)
    assert (counts["ok"], counts["dead_lettered"]) == (102, 2)
    assert Counter(written(consume_all(it.target))) == Counter(set(range(104)) - big)
    found = consume_all(letters)
    assert sorted(each.value for each in found) == sorted(full[n]["value"] for n in big)
    assert {dict(each.headers)["streamproc-kind"] for each in found} == {b"sink"}


def test_a_worker_that_dies(copy: Any, produce: Any, run: Any, consume_all: Any) -> None:
    """With the record that kills it, and with no other one."""
    it = copy("true")
    produce(it.source, [message(n, crash=n == 13) for n in range(200)])
    done = run(*it.arguments("crash", "--stop-at-end", "-w", "2"))
    assert done.returncode == 3
    counts = summary(done.stderr)
    assert (counts["ok"], counts["failed"], counts["unprocessed"]) == (199, 1, 0)
    found = consume_all(it.target)
    assert Counter(written(found)) == Counter(set(range(200)) - {13})
    [failed] = [each for each in found if b"_error" in each.value]
    assert json.loads(failed.value)["_error"]["kind"] == "worker_crash"


def test_a_group_of_another_kind(broker: Broker, copy: Any, run: Callable[..., Any]) -> None:
    """Members that assign eagerly and we do not fit together; it is said at once."""
    it = copy()
    member = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": it.group,
         "partition.assignment.strategy": "range"}
    )  # fmt: skip
    try:
        member.subscribe([it.source])
        until(lambda: member.poll(0.05) is None and bool(member.assignment()), "its partitions")
        done = run(*it.arguments("none", "--summary", "none"))
        assert done.returncode == 69
        assert b"partition.assignment.strategy" in done.stderr
        assert it.source.encode() in done.stderr
    finally:
        member.close()


@both
def test_a_dead_letter_that_is_too_large(
    copy: Any, topic: Any, produce: Any, run: Any, consume_all: Any, exactly_once: str
) -> None:
    """Nowhere is left for it to go: the run ends, and its offset is not committed."""
    it, letters = copy(exactly_once), topic(config=LIMIT)
    produce(it.source, [{**message(0), "value": b"not JSON " + b"x" * BIG}, message(1)])
    address = f"kafka://{it.broker.bootstrap}/{letters}"
    arguments = it.arguments("none", "--stop-at-end", "--on-error", "dead-letter")
    done = run(*arguments, "--dead-letter", address)
    assert done.returncode == 73, done.stderr.decode()
    assert address.encode() in done.stderr
    assert f"{it.source}/0/0".encode() in done.stderr
    assert consume_all(letters) == []
    assert it.committed()[0] == 0
