"""A group that gets no further: where its members, its coordinator and the broker stand, in files.

`sitecustomize.py` goes into the folder in which the members run, and `environment` leads them to
it. On SIGUSR1 each writes `stands-PID`: the stacks of its threads and tasks, and what the objects
of `streamproc.kafka` hold.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from broker import Broker
from confluent_kafka import Consumer, KafkaException, TopicPartition

STANDS_S, WRITES_S = 40.0, 5.0  # longer than a session and a transaction take to end, or a revoke
HOOK = """
import signal

def tell(number, frame):
    import asyncio, gc, os, sys, threading, time, traceback

    names = {each.ident: each.name for each in threading.enumerate()}
    objects = gc.get_objects()
    with open(f"stands-{os.getpid()}", "a") as out:
        print(time.strftime("%FT%T"), file=out)
        for ident, each in sys._current_frames().items():
            print("\\nthread", names.get(ident), file=out)
            traceback.print_stack(each, file=out)
        for each in objects:
            if isinstance(each, asyncio.Task) and not each.done():
                print("\\ntask", file=out)
                each.print_stack(file=out)
        for each in objects:
            if type(each).__module__.startswith("streamproc.kafka") and hasattr(each, "__dict__"):
                held = {name: repr(value)[:400] for name, value in list(vars(each).items())}
                print("\\nobject", type(each).__qualname__, hex(id(each)), held, file=out)

signal.signal(signal.SIGUSR1, tell)
"""


def environment(folder: Path) -> dict[str, str]:
    """For members that run in `folder`."""
    (folder / "sitecustomize.py").write_text(HOOK)
    places = [str(folder), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


class Progress:
    """How far the group `g` is in the partitions of the topic `in`."""

    def __init__(self, broker: Broker, folder: Path, partitions: int) -> None:
        self.broker, self.folder = broker, folder
        self.places = [TopicPartition("in", p) for p in range(partitions)]
        self.offsets: list[int] = []
        self.moved_s: float | None = None  # since it is looked at
        self.is_told = False  # that it stood still

    def is_done(self, members: Sequence[subprocess.Popen[bytes]]) -> bool:
        """Whether all is committed. When nothing new is for long, it is told why, once."""
        offsets, is_done = self.look()
        now = time.monotonic()
        if self.moved_s is None or (offsets and offsets != self.offsets):
            self.offsets, self.moved_s = offsets, now
        if not is_done and not self.is_told and now > self.moved_s + STANDS_S:
            self.is_told = True
            self.tell(members)
        return is_done

    def look(self) -> tuple[list[int], bool]:
        """Offsets, none when nobody says; whether they are all there is."""
        config = {"bootstrap.servers": self.broker.bootstrap, "group.id": "g", "log_level": 0}
        consumer = Consumer(config)
        try:
            offsets = [each.offset for each in consumer.committed(self.places, timeout=10)]
            ends = [consumer.get_watermark_offsets(each, timeout=10)[1] for each in self.places]
        except KafkaException:
            return [], False
        finally:
            consumer.close()
        return offsets, all(map(int.__ge__, offsets, ends))

    def tell(self, members: Sequence[subprocess.Popen[bytes]]) -> None:
        """In files of the folder."""
        for each in members:
            if each.poll() is None:
                each.send_signal(signal.SIGUSR1)
        assert self.broker.process is not None
        self.broker.process.send_signal(signal.SIGQUIT)  # its threads, into its log
        (self.folder / "stands").write_text(f"{self.offsets}\n{self.group()}\n")
        time.sleep(WRITES_S)
        shutil.copy(self.broker.log, self.folder / "stands-broker")

    def group(self) -> str:
        """Its state and its members, as the coordinator has them."""
        admin = self.broker.admin
        with suppress(KafkaException, TimeoutError):
            group = admin.describe_consumer_groups(["g"], request_timeout=10)["g"].result(10)
            members = [
                (each.member_id, each.group_instance_id, str(each.assignment.topic_partitions))
                for each in group.members
            ]
            return f"{group.state} {members}"
        return "nobody says"
