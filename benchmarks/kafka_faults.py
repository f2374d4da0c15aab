"""A quiet topic, a partition whose head is stuck, and instances that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from threading import Event, Thread
from uuid import uuid4

from confluent_kafka import OFFSET_END

from benchmarks.cases import SCRIPTS, STREAMPROC, Results, Row
from benchmarks.kafka_topics import FLUSH_S, PARTITIONS, Topics, id_of, produce
from benchmarks.measure import RunError

HELD_S = 30.0
SESSION = "session.timeout.ms=6000"  # a broker takes no less
PER_SECOND = 2000
ROUND_S = (1.0, 4.0)
PATIENCE_S = 180.0
TRICKLES = 300


def latency(topics: Topics, results: Results) -> None:
    """From `produce` to the message of the output topic, one at a time."""
    topic, out = topics.new("quiet"), topics.new()
    command = [STREAMPROC, topics.source(topic), "-o", topics.sink(out), "-e", "none"]
    process = subprocess.Popen(command)
    seconds = []
    try:
        producer, reader = topics.producer(**{"linger.ms": 0}), topics.reader(out, OFFSET_END)
        for number in range(TRICKLES + PARTITIONS):
            begin = time.perf_counter()
            produce(producer, topic, number, b'{"id":%d}' % number)
            while (message := reader.poll(PATIENCE_S)) is not None and message.error():
                pass
            if message is None:
                raise RunError("nothing comes out of a quiet topic")
            seconds.append(time.perf_counter() - begin)
            time.sleep(random.uniform(0.02, 0.08))
        reader.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    found = sorted(seconds[PARTITIONS:])  # the first ones wait for the group
    p50, p99 = (found[int(len(found) * part)] * 1000 for part in (0.5, 0.99))
    note = f"p50 {p50:.1f} ms, slowest {found[-1] * 1000:.1f} ms"
    what = "quiet topic to output topic, p99"
    results.rows.append(Row(what, "-", p99, 25, unit=" ms", lower_is_better=True, note=note))


def stuck(topics: Topics, records: int, results: Results) -> None:
    """Throughput of the others while the first record of a partition takes 30 s."""
    rates = {}
    for held in (0, PARTITIONS):  # no record is 0; the first one of partition 0 is 4
        out = topics.new()
        command = [
            STREAMPROC, topics.source(topics.filled(records)), "-o", topics.sink(out),
            "-e", f"{SCRIPTS / 'kafka_stages.py'}:hold", "--timeout", "90", "--stop-at-end",
        ]  # fmt: skip
        environment = {**os.environ, "HELD": str(held), "HELD_S": str(HELD_S)}
        if code := subprocess.run(command, env=environment, check=False).returncode:
            raise RunError(f"{' '.join(command)}: exit {code}")
        stamps = [each.timestamp()[1] for each in topics.messages(out) if each.partition()]
        rates[held] = len(stamps) / (max(stamps) - min(stamps) or 1) * 1000
        topics.delete(out)
        _say(f"stuck partition: {held}: {rates[held]:,.0f} of the others a second")
    note = f"{rates[PARTITIONS]:,.0f}/s against {rates[0]:,.0f}/s"
    what = f"one partition's head takes {HELD_S:.0f} s: throughput of the others"
    results.rows.append(Row(what, "nothing stuck", rates[PARTITIONS] / rates[0], 0.8, note=note))


class _Instances:
    """Three of one group."""

    def __init__(self, topics: Topics, *, exactly_once: bool) -> None:
        self.topics, self.group = topics, str(uuid4())
        self.topic, self.out = topics.new("killed"), topics.new()
        self._sink = topics.sink(self.out, *(["exactly_once=true"] if exactly_once else []))
        self._has_names = exactly_once
        self._processes = {name: self._start(name) for name in "abc"}

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        source = f"kafka://{self.topics.broker.bootstrap}/{self.topic}?group={self.group}&{SESSION}"
        source += f"&instance={name}" if self._has_names else ""
        return subprocess.Popen([STREAMPROC, source, "-o", self._sink, "-e", "none"])

    def kill(self) -> None:
        """One of them, and start it again."""
        name = random.choice("abc")
        process = self._processes[name]
        if process.poll() is not None:
            raise RunError(f"an instance ended by itself: exit {process.returncode}")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._processes[name] = self._start(name)

    def end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def kills(topics: Topics, rounds: int, results: Results, *, exactly_once: bool) -> None:
    """While messages come in all the time."""
    instances = _Instances(topics, exactly_once=exactly_once)
    stopped, sent = Event(), [0]

    def send() -> None:
        producer = topics.producer()
        while not stopped.wait(10 / PER_SECOND):
            for _ in range(10):
                sent[0] += 1
                produce(producer, instances.topic, sent[0], b'{"id":%d}' % sent[0])
        assert producer.flush(FLUSH_S) == 0

    sender = Thread(target=send)
    sender.start()
    try:
        for turn in range(rounds):
            time.sleep(random.uniform(*ROUND_S))
            instances.kill()
            _say(f"kill {turn + 1}/{rounds}")
        stopped.set()
        sender.join()
        deadline = time.monotonic() + PATIENCE_S
        while topics.committed(instances.topic, instances.group) < sent[0]:
            if time.monotonic() > deadline:
                break  # what is missing is counted
            time.sleep(0.5)
    finally:
        stopped.set()
        instances.end()
    found = Counter(map(id_of, topics.messages(instances.out)))
    mode = "exactly once" if exactly_once else "at least once"
    what = f"{rounds} × `kill -9` of one of 3 instances, {mode}"
    missing, doubled = sent[0] - len(found), found.total() - len(found)
    note = f"{sent[0]:,} messages, {doubled:,} doubled"
    bad = missing + (doubled if exactly_once else 0)
    unit = " missing or doubled" if exactly_once else " missing"
    results.rows.append(Row(what, "-", bad, 0, unit=unit, lower_is_better=True, note=note))


def _say(text: str) -> None:
    print(f"[kafka] {text}", file=sys.stderr, flush=True)
