"""Topics as source and sink beside scripts, on a real broker.

Start-up and joining the group are left out: times are those from the first to the last output.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.cases import PYTHON, SCRIPTS, STREAMPROC, Bar, Kind, Results, Row, peer
from benchmarks.generate import leads_file
from benchmarks.http_speed import nginx
from benchmarks.measure import READ, RunError, Sample, alternate, run

if TYPE_CHECKING:  # the package is an extra
    from benchmarks.kafka_topics import Topics

COPIED = 0.5  # of --records, from topic to topic
CALLED = 0.1  # through an http stage
FEW = 40  # what start-up is measured with
NONE = ["-e", "none", "--stop-at-end"]
Command = Callable[[str, str, int], list[str]]  # of topic, output topic, count


def kafka(records: int, repeat: int, results: Results) -> None:
    """All figures, in a process of its own: producers are large, and peaks start from ours."""
    with ProcessPoolExecutor(1) as pool:
        part = pool.submit(_measured, records, repeat).result()
    results.rows += part.rows
    results.bars += part.bars
    results.missing += part.missing


def _measured(records: int, repeat: int) -> Results:
    """One broker for all."""
    results = Results()
    try:
        from benchmarks import kafka_faults
        from benchmarks.kafka_topics import Topics
        from tests.kafka.broker import Broker, missing
    except ImportError as error:
        needed = f"{error.name}: make install"
    else:
        needed = missing()
    if needed:
        results.missing.append("kafka")
        results.rows.append(Row("Kafka", "-", None, note=f"install {needed}"))
        return results
    with Broker(options=()) as broker:
        topics = Topics(broker)
        speed = _Speed(topics, min(repeat, 3), results)
        speed.to_stdout(max(FEW, records))
        speed.to_topic(max(FEW, int(records * COPIED)))
        speed.through_http(max(FEW, int(records * CALLED)))
        kafka_faults.latency(topics, results)
        kafka_faults.stuck(topics, max(FEW, int(records * COPIED)), results)
        for exactly_once in (False, True):
            kafka_faults.kills(topics, repeat * 4, results, exactly_once=exactly_once)
    return results


class _Speed:
    def __init__(self, topics: Topics, repeat: int, results: Results) -> None:
        self._topics = topics
        self._repeat = repeat
        self._results = results

    def to_stdout(self, records: int) -> None:
        sides: dict[str, tuple[Kind, Command]] = {
            "topic to stdout": (
                "streamproc",
                lambda topic, *_: [STREAMPROC, self._topics.source(topic), *NONE],
            ),
            "kafka_stdout": ("raw", self._script("kafka_stdout")),
        }
        self._compare(records, sides)
        self._claim("topic → stdout, `-e none`", "topic to stdout", "kafka_stdout", 0.5)

    def to_topic(self, records: int) -> None:
        sides: dict[str, tuple[Kind, Command]] = {
            "topic to topic": ("streamproc", self._copy(NONE)),
            "kafka_copy": ("raw", self._script("kafka_copy", "OUT")),
            "topic to topic, exactly once": ("streamproc", self._copy(NONE, "exactly_once=true")),
            "kafka_copy, transactions": ("raw", self._script("kafka_copy", "OUT", "0.1")),
        }
        self._compare(records, sides)
        for more in ("", ", exactly once"):
            against = "kafka_copy, transactions" if more else "kafka_copy"
            self._claim(f"topic → topic, `-e none`{more}", f"topic to topic{more}", against, 0.5)

    def through_http(self, records: int) -> None:
        what = "topic → http stage → topic, nginx"
        where = peer("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if where is None:
            self._results.missing.append("nginx")
            self._results.rows.append(Row(what, "file", None, 0.7, note="nginx is not installed"))
            return
        with nginx(where) as base, tempfile.TemporaryDirectory(prefix="kafka-") as folder:
            stage = ["-e", f"company={base}/c/{{id}}", "--set", "company.http.client=lean"]
            out = Path(folder) / "out"

            def in_files(count: int) -> Sample:
                out.unlink(missing_ok=True)
                return run([STREAMPROC, *stage, "-o", str(out), str(leads_file(count))], b"")

            start_s = median(in_files(FEW).seconds for _ in range(3))
            start_cpu = min(in_files(FEW).cpu for _ in range(2))

            def from_file(_: bool) -> Sample:
                sample = in_files(records)
                sample.seconds -= start_s
                sample.cpu -= start_cpu
                return sample

            side = self._copy([*stage, "--stop-at-end"])
            self._compare(
                records,
                {"topic to http to topic": ("streamproc", side)},
                {"file to http to file": from_file},
            )
        self._claim(what, "topic to http to topic", "file to http to file", 0.7)

    def _compare(
        self,
        records: int,
        sides: dict[str, tuple[Kind, Command]],
        others: dict[str, Callable[[bool], Sample]] | None = None,
    ) -> None:
        def runner(command: Command) -> Callable[[bool], Sample]:
            start_cpu = min(self._timed(command, FEW).cpu for _ in range(2))

            def start(_: bool) -> Sample:
                sample = self._timed(command, records)
                sample.cpu -= start_cpu
                return sample

            return start

        starts = {name: runner(command) for name, (_, command) in sides.items()} | (others or {})
        for name, samples in alternate(starts, self._repeat, _say).items():
            kind = sides[name][0] if name in sides else "streamproc"
            self._results.bars.append(Bar("kafka", name, kind, records, samples))

    def _claim(self, what: str, name: str, against: str, target: float) -> None:
        bars = {bar.name: bar for bar in self._results.bars if bar.group == "kafka"}
        own, other = bars[name], bars[against]
        cpu = [bar.samples.cpu / bar.records * 1e6 for bar in (own, other)]
        note = f"{cpu[0]:.1f} µs CPU a record against {cpu[1]:.1f}; {own.records:,} records"
        ratio = own.per_second / other.per_second
        self._results.rows.append(Row(what, f"`{against}`", ratio, target, note=note))

    def _timed(self, command: Command, records: int) -> Sample:
        """Seconds from the first to the last output, as the broker or the reader of a pipe saw."""
        topic, out = self._topics.filled(records), self._topics.new()
        try:
            sample = _drained(command(topic, out, records))
            if not sample.bytes_out:
                stamps = [message.timestamp()[1] for message in self._topics.messages(out)]
                sample.lines = len(stamps)
                sample.seconds = (max(stamps) - min(stamps) or 1) / 1000
        finally:
            self._topics.delete(out)
        if sample.lines != records:
            raise RunError(f"{records} messages in, {sample.lines} out")
        return sample

    def _copy(self, options: list[str], *parameters: str) -> Command:
        return lambda topic, out, _: [
            STREAMPROC, self._topics.source(topic), "-o", self._topics.sink(out, *parameters),
            *options,
        ]  # fmt: skip

    def _script(self, name: str, *more: str) -> Command:
        def command(topic: str, out: str, count: int) -> list[str]:
            rest = [out if word == "OUT" else word for word in more]
            where = [self._topics.broker.bootstrap, topic, str(uuid4()), str(count)]
            return [PYTHON, str(SCRIPTS / f"{name}.py"), *where, *rest]

        return command


def _drained(command: list[str]) -> Sample:
    """Run it; seconds are those between the first and the last of its output."""
    buffer = bytearray(READ)
    sample = Sample(0, 0, 0, 0, 0)
    first = last = 0.0
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
        assert process.stdout is not None
        while size := os.readv(process.stdout.fileno(), [buffer]):
            last = time.perf_counter()
            first = first or last
            sample.bytes_out += size
            sample.lines += buffer.count(b"\n", 0, size)
        _, status, usage = os.wait4(process.pid, 0)
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")[-2000:].strip()
            raise RunError(f"{' '.join(command)}: exit {process.returncode}: {said}")
    sample.seconds = max(last - first, 1e-6)
    sample.cpu = usage.ru_utime + usage.ru_stime
    sample.peak_mb = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return sample


def _say(text: str) -> None:
    print(f"[kafka] {text}", file=sys.stderr, flush=True)
