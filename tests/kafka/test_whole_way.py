"""The real command between topics of a real broker, and what is left when it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker import Broker

from tests.conftest import summary

pytestmark = pytest.mark.forked

COUNT = 3000
SLOW = """
import asyncio, random
async def slow(record):
    await asyncio.sleep(random.random() * 0.01)
    return {"ok": True}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages.py").write_text(SLOW)
    return tmp_path


@pytest.fixture
def filled(topic: Callable[..., str], produce: Callable[..., None]) -> str:
    """A topic with keyed records."""
    name = topic(4)
    produce(
        name,
        [
            {"value": b'{"n":%d}' % n, "key": b"k%d" % (n % 97), "headers": [("h", b"%d" % n)]}
            for n in range(COUNT)
        ],
    )
    return name


def url(broker: Broker, name: str, **query: Any) -> str:
    pairs = "&".join(f"{key}={value}" for key, value in query.items())
    return f"kafka://{broker.bootstrap}/{name}?{pairs}"


def numbers(messages: list[Any]) -> list[int]:
    return [int(each.value.split(b":")[1].split(b",")[0].rstrip(b"}")) for each in messages]


@pytest.mark.parametrize(
    "exactly_once", ["true", pytest.param("false", marks=pytest.mark.mock_will_do)]
)
@pytest.mark.parametrize("more", [(), ("-w", "2")], ids=["", "workers"])
def test_a_copy(
    broker: Broker,
    topic: Any,
    filled: str,
    run: Any,
    consume_all: Any,
    exactly_once: str,
    more: Any,
) -> None:
    """Key, headers, partition and order go with each record; a second run has nothing to do."""
    target = topic(4)
    source = url(broker, filled, group="copy" + target, **{"session.timeout.ms": 6000})
    arguments = (source, "--stop-at-end", "-e", "none", "-o",
                 url(broker, target, exactly_once=exactly_once), "--summary", "json")  # fmt: skip
    done = run(*arguments, *more)
    assert done.returncode == 0
    assert summary(done.stderr)["ok"] == COUNT
    before, after = consume_all(filled), consume_all(target)
    assert [each[:4] for each in after] == [each[:4] for each in before]
    done = run(*arguments, *more)
    assert (done.returncode, summary(done.stderr)["received"]) == (0, 0)
    assert len(consume_all(target)) == COUNT


@pytest.mark.parametrize("exactly_once", ["true", "false"])
def test_instances_that_are_killed(
    broker: Broker, topic: Any, filled: str, start: Any, consume_all: Any, exactly_once: str
) -> None:
    """Three in a group, kill -9 of one after the other: nothing missing, in order, and with
    exactly once nothing doubled."""
    target, dice = topic(4), random.Random(1)
    source = url(broker, filled, group="killed" + target, **{"session.timeout.ms": 6000})
    arguments = (source, "-e", "stages.py:slow", "-j", "4", "--log-level", "error",
                 "-o", url(broker, target, exactly_once=exactly_once))  # fmt: skip

    def begin() -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = start(*arguments, stderr=subprocess.DEVNULL)
        return process

    running = [begin() for _ in range(3)]
    for _ in range(3):
        time.sleep(dice.uniform(0.3, 1.2))
        place = dice.randrange(3)
        running[place].kill()
        running[place] = begin()
    deadline = time.monotonic() + 90
    while len(set(numbers(found := consume_all(target)))) < COUNT:
        assert time.monotonic() < deadline, f"{COUNT - len(set(numbers(found)))} are missing"
        time.sleep(0.5)
    for process in running:
        process.send_signal(signal.SIGTERM)
    assert {process.wait() for process in running} == {143}
    found = consume_all(target)
    counts = Counter(numbers(found))
    assert len(counts) == COUNT
    if exactly_once == "true":
        assert set(counts.values()) == {1}
        before = consume_all(filled)  # whose producer may disorder the first ones of a new topic
        assert [each.partition for each in found] == [each.partition for each in before]
        assert numbers(found) == numbers(before)


@pytest.mark.parametrize("is_topic", [True, False], ids=["to a topic", "to a file"])
def test_dead_letters_and_back(
    broker: Broker, topic: Any, produce: Any, run: Any, consume_all: Any, folder: Path,
    is_topic: bool,
) -> None:  # fmt: skip
    """What fails goes to a topic with the reason, and `replay` gives it back as it was."""
    source, target, letters, back = topic(2), topic(2), topic(1), topic(1)
    output = url(broker, target, exactly_once="true") if is_topic else "out.jsonl"
    headers = [("a", b"1"), ("a", None)]
    produce(source, [{"value": b"bad \n%d" % n, "key": b"k", "headers": headers} for n in range(3)])
    produce(source, [{"value": b'{"n":1}', "key": b"k"}])
    done = run(
        url(broker, source, group="g" + source), "--stop-at-end", "-e", "none",
        "-o", output,
        "--on-error", "dead-letter", "--dead-letter", url(broker, letters),
    )  # fmt: skip
    assert done.returncode == 3
    assert b"3 failed: 3 \xc3\x97 malformed in decode" in done.stderr.splitlines()[-1]
    good = [each.value for each in consume_all(target)]
    assert (good if is_topic else Path(folder, "out.jsonl").read_bytes().splitlines()) == [
        b'{"n":1}'
    ]
    found = consume_all(letters)
    assert [each.value for each in found] == [b"bad \n%d" % n for n in range(3)]
    more = dict(found[0].headers[2:])
    assert more["streamproc-kind"] == b"malformed"
    assert more["streamproc-origin"].startswith(source.encode() + b"/")
    assert run("replay", url(broker, letters), "-o", url(broker, back)).returncode == 0
    assert [(m.value, m.key, m.headers) for m in consume_all(back)] == [
        (b"bad \n%d" % n, b"k", headers) for n in range(3)
    ]
    produce(letters, [{"value": b'{"n":\n1,"_error":{}}'}, {"value": b'{"n":2,"_error":{}}'}])
    done = run("replay", url(broker, letters))  # one letter is one line, as it was or not at all
    assert (done.returncode, done.stdout) == (3, b'{"n": 1}\n{"n":2}\n')
    assert done.stderr.count(b"the original has newlines") == 3


@pytest.mark.mock_will_do
def test_what_a_record_brings_into_its_reason(
    broker: Broker, topic: Any, run: Any, consume_all: Any, folder: Path
) -> None:
    """Half a character, all of a long value, a name that is no text: the dead letter goes out."""
    letters = topic(1)
    records = [b'{"id":"\\ud800"}', b'{"id":"%s"}' % (b"x" * 600_000)]
    Path(folder, "fails.py").write_text("def fail(record): raise ValueError(record['id'])\n")
    with open(os.fsencode(folder) + b"/\xff.jsonl", "wb") as file:
        file.write(b"\n".join(records))
    done = run("-e", "fails.py:fail", "--dead-letter", url(broker, letters), "\udcff.jsonl")
    assert done.returncode == 3
    found = consume_all(letters)
    assert [each.value for each in found] == records
    half, long = (dict(each.headers) for each in found)
    assert half["streamproc-message"] == rb"ValueError: \ud800"
    assert half["streamproc-origin"] == rb"\udcff.jsonl/1"
    assert long["streamproc-message"].startswith(b"ValueError: xxx")
    assert len(long["streamproc-message"]) < 5_000


@pytest.mark.mock_will_do
def test_what_is_not_there(broker: Broker, topic: Any, run: Any) -> None:
    """Topics are never created, and a broker that is away is named."""
    done = run(url(broker, "nothing-of-that-name"), "--stop-at-end")
    assert (done.returncode, done.stdout) == (66, b"")
    done = run("-o", url(broker, "nothing-of-that-name"), stdin=b'{"n":1}\n')
    assert done.returncode == 73
    assert "nothing-of-that-name" not in broker.admin.list_topics(timeout=10).topics
    done = run("kafka://127.0.0.1:1/x", "--connect-timeout", "1")
    assert done.returncode == 69
    assert b"127.0.0.1:1" in done.stderr
    done = run(url(broker, topic(1), group="g"), "--checkpoint", "cp")
    assert done.returncode == 2


def test_without_a_group(broker: Broker, topic: Any, produce: Any, start: Any, run: Any) -> None:
    """What comes from now on; with --stop-at-end all there is; with -N the last ones."""
    name = topic(1)
    produce(name, [b'{"n":%d}' % n for n in range(5)])
    assert run(url(broker, name), "--stop-at-end", "-e", "none").stdout.count(b"\n") == 5
    done = run(url(broker, name, **{"from": -2}), "--stop-at-end", "-e", "none")
    assert done.stdout == b'{"n":3}\n{"n":4}\n'
    process = start(url(broker, name), "-e", "none", "--limit", "1")
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        produce(name, [b'{"later":true}'])
    assert process.stdout.read() == b'{"later":true}\n'
    assert process.returncode == 0


def test_a_limit(broker: Broker, topic: Any, produce: Any, run: Any, consume_all: Any) -> None:
    """What is committed is what was written, to the record."""
    source, target = topic(1), topic(1)
    produce(source, [b'{"n":%d}' % n for n in range(60_000)])
    arguments = (url(broker, source, group=source), "--stop-at-end", "-e", "none",
                 "-o", url(broker, target), "--summary", "json")  # fmt: skip
    done = run(*arguments, "--limit", "50001")
    assert (done.returncode, summary(done.stderr)["ok"]) == (0, 50_001)
    done = run(*arguments)
    assert (done.returncode, summary(done.stderr)["ok"]) == (0, 9_999)
    assert numbers(consume_all(target)) == list(range(60_000))


@pytest.mark.parametrize("config", [{"max.message.bytes": "300"}, {}], ids=["too large", "gone"])
def test_a_dead_letter_that_is_not_taken(broker: Broker, topic: Any, run: Any, config: Any) -> None:
    """A run that cannot keep what failed says so, and counts it as done nowhere."""
    letters = topic(1, config)
    line = b"x" * 500 + b"\n"
    if not config:
        letters += "-of-yesterday"
    done = run(
        "-e", "none", "--on-error", "dead-letter", "--dead-letter", url(broker, letters),
        "--summary", "json", stdin=b'{"n":1}\n' + line,
    )  # fmt: skip
    assert done.returncode == 73
    assert letters.encode() in done.stderr
    if config:
        assert summary(done.stderr)["dead_lettered"] == 0
