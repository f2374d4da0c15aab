"""Exactly once in chaos: instances and the broker are killed, stopped, paused; all is compared.

`python tests/torture_kafka.py [--rounds N] [--seconds N] [--seed N]` (`make torture`). In a round
three instances of a group copy a topic that is being written, through a stage that filters, fans
out, fails and is slow now and then. Then each record is counted in the output and among the dead
letters, and the order of each pair of an input and an output partition is compared with that of
the input topic. Members are static, dynamic, or both, by turns. When the group gets no further,
files in the round's folder tell where everybody stands: see `kafka/standstill.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "kafka"))

from broker import Broker
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from standstill import Progress, environment

STREAMPROC = str(Path(sys.executable).with_name("streamproc"))
STAGE = """
import asyncio, random, streamproc

@streamproc.transform
async def stage(record):
    n = record["n"]
    await asyncio.sleep(random.random() * 0.01 if n % 500 else 3.0)
    if n % 7 == 0:
        return None
    if n % 11 == 0:
        return [{**record, "k": 0}, {**record, "k": 1}]
    if n % 13 == 0:
        raise ValueError("every 13th")
    return record
"""
MEMBERS, SETTLE_S, CATCH_UP_S = 3, 60.0, 180.0
KINDS = ("dynamic", "static", "both")
ENDED = (-signal.SIGKILL, 143, 130, 75)  # as they were told
PROPERTIES = {"num.partitions": "4"}
Record = tuple[int, int | None]  # its number, and which one of several


class Round:
    """One broker, three instances, and what was done to them."""

    def __init__(self, broker: Broker, folder: Path, dice: random.Random, kind: str) -> None:
        self.broker, self.folder, self.dice, self.kind = broker, folder, dice, kind
        self.processes: list[subprocess.Popen[bytes]] = []
        self.done: Counter[str] = Counter()
        self.codes: list[int] = []  # of those that ended unasked
        self.is_over = False
        self.sent = 0
        (folder / "stages.py").write_text(STAGE)
        self.environment = environment(folder)
        self.progress = Progress(broker, folder, 4)
        for name, partitions in (("in", 4), ("out", 3), ("dead", 2)):
            broker.create_topic(name, partitions)

    def start(self, k: int) -> subprocess.Popen[bytes]:
        is_static = self.kind == "static" or (self.kind == "both" and k == 0)
        instance = f"&instance=i{k}" if is_static else ""
        address = f"kafka://{self.broker.bootstrap}"
        more = ["-w", "2"] if self.dice.random() < 0.3 else []
        with (self.folder / f"said{k}").open("ab") as said:
            return subprocess.Popen(
                [STREAMPROC, f"{address}/in?group=g{instance}&session.timeout.ms=6000",
                 "-e", "stages.py:stage", "-o", f"{address}/out?exactly_once=true",
                 "--on-error", "dead-letter", "--dead-letter", f"{address}/dead",
                 "--connect-timeout", "60", "--summary", "json", "--log-level", "debug",
                 "--log-format", "json", *more],
                cwd=self.folder, stderr=said, env=self.environment,
            )  # fmt: skip

    def feed(self) -> None:
        config = {"bootstrap.servers": self.broker.bootstrap, "enable.idempotence": True}
        producer = Producer({**config, "linger.ms": 5, "log_level": 0})
        producer.list_topics("in", timeout=10)
        while not self.is_over:
            for _ in range(20):
                n = self.sent
                producer.produce("in", b'{"n":%d}' % n, b"key%d" % (n % 50))
                self.sent += 1
            producer.poll(0)
            time.sleep(0.05)
        assert producer.flush(60) == 0

    def disturb(self) -> None:
        """One thing, to an instance or to the broker; who has ended is started again."""
        self.start_again()
        k = self.dice.randrange(MEMBERS)
        process = self.processes[k]
        what = self.dice.choice(("kill", "kill", "term", "abort", "stop", "broker", "pause"))
        self.done[what] += 1
        if what == "kill":
            process.kill()
        elif what in ("term", "abort"):
            process.terminate()
            if what == "abort":
                time.sleep(0.05)
                process.terminate()
        elif what == "stop":
            process.send_signal(signal.SIGSTOP)
            time.sleep(self.dice.choice((1, 8)))
            process.send_signal(signal.SIGCONT)
            return
        elif what == "broker":
            self.broker.kill()
            time.sleep(self.dice.random() * 2)
            self.broker.start()
            return
        else:
            self.broker.pause()
            time.sleep(self.dice.choice((1, 9)))
            self.broker.resume()
            return
        process.wait(90)
        self.processes[k] = self.start(k)

    def start_again(self) -> None:
        for k, process in enumerate(self.processes):
            if process.poll() is not None:
                self.codes.append(process.returncode)
                self.processes[k] = self.start(k)

    def play(self, seconds: float) -> None:
        feeding = threading.Thread(target=self.feed)
        feeding.start()
        try:
            self.processes = [self.start(k) for k in range(MEMBERS)]
            time.sleep(4)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.disturb()
                time.sleep(self.dice.random() * 3)
        finally:
            self.is_over = True
            feeding.join()
        self.until(lambda: self.progress.is_done(self.processes), CATCH_UP_S)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            assert process.wait(90) in ENDED, f"ended with {process.returncode}"

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            self.start_again() if not self.is_settling else None
            time.sleep(1)

    is_settling = False

    def compare(self) -> dict[str, int]:
        """What is wrong; all zero when nothing is."""
        source = self.read("in")
        want: Counter[Record] = Counter()
        dead: Counter[int] = Counter()
        places: dict[int, tuple[int, int]] = {}
        twice: set[int] = set()  # a broker that is killed may take a message again
        for message in source:
            n = json.loads(message.value())["n"]
            twice |= {n} & places.keys()
            places[n] = message.partition(), message.offset()
            if n % 7 == 0:
                continue
            if n % 11 == 0:
                want.update(((n, 0), (n, 1)))
            elif n % 13 == 0:
                dead[n] += 1
            else:
                want[n, None] += 1
        self.is_settling = True  # a transaction of one that was killed ends in its time
        self.until(lambda: self.found("out").total() >= want.total(), SETTLE_S)
        got, got_dead = self.found("out"), Counter(n for n, _ in self.found("dead").elements())
        return {
            "missing": (want - got).total(), "doubled": (got - want).total(),
            "dead letters missing": (dead - got_dead).total(),
            "dead letters doubled": (got_dead - dead).total(),
            "out of order": self.disordered({n: places[n] for n in places.keys() - twice}),
            "accounts that do not balance": self.unbalanced(),
            "ended unasked": len(self.codes),
        }  # fmt: skip

    def found(self, topic: str) -> Counter[Record]:
        records = [json.loads(each.value()) for each in self.read(topic)]
        return Counter((each["n"], each.get("k")) for each in records)

    def disordered(self, places: dict[int, tuple[int, int]]) -> int:
        last: dict[tuple[int, int], tuple[int, int]] = {}
        count = 0
        for message in self.read("out"):
            record = json.loads(message.value())
            if record["n"] not in places:
                continue
            partition, offset = places[record["n"]]
            pair, here = (partition, message.partition()), (offset, record.get("k", 0))
            count += here <= last.get(pair, (-1, 0))
            last[pair] = max(here, last.get(pair, here))
        return count

    def unbalanced(self) -> int:
        ends = ("ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed")
        count = 0
        for k in range(MEMBERS):
            for line in (self.folder / f"said{k}").read_text().splitlines():
                if line.startswith('{"received"'):
                    counts = json.loads(line)
                    count += counts["received"] != sum(counts[each] for each in ends)
        return count

    def read(self, topic: str) -> list[Any]:
        consumer = Consumer(
            {"bootstrap.servers": self.broker.bootstrap, "group.id": f"read-{time.time_ns()}",
             "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
        )  # fmt: skip
        try:
            left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, p, 0) for p in left])
            found, end = [], time.monotonic() + 60
            while left:
                assert time.monotonic() < end, f"no end of {topic}"
                for each in consumer.consume(5000, 0.5):
                    error = each.error()
                    if error is None:
                        found.append(each)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(each.partition())
            return found
        finally:
            consumer.close()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def play(seed: int, seconds: float, kind: str) -> str:
    """One round; its folder is kept when something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="torture-kafka-"))
    with Broker(properties=PROPERTIES) as broker:
        it = Round(broker, folder, random.Random(seed), kind)
        try:
            it.play(seconds)
            wrong = it.compare()
        finally:
            it.close()
            if broker.process is not None:
                with suppress(ProcessLookupError):
                    os.kill(broker.process.pid, signal.SIGCONT)
    told = ", ".join(f"{count} x {what}" for what, count in it.done.items())
    text = f"seed {seed}, {kind} members, {it.sent} records, {told}"
    if any(wrong.values()):
        raise AssertionError(f"{text}: {wrong}, ended with {it.codes}, see {folder}")
    if it.progress.is_told:
        return f"{text}: all is well, but it stood still for a while: see {folder}"
    shutil.rmtree(folder)
    return f"{text}: nothing missing, doubled or out of order"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kind", choices=KINDS)
    arguments = parser.parse_args()
    for k in range(arguments.rounds):
        kind = arguments.kind or KINDS[k % len(KINDS)]
        print(play(arguments.seed + k, arguments.seconds, kind), flush=True)


if __name__ == "__main__":
    main()
