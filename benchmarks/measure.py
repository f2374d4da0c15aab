"""Whole processes, measured from outside: wall, CPU, peak memory, bytes and lines out."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

READ = 1 << 20


class RunError(Exception):
    """A command did not do what it is measured for; its message says what happened."""


@dataclass(slots=True)
class Sample:
    """One run of one command."""

    seconds: float
    first_byte: float
    cpu: float
    peak_mb: float
    bytes_out: int
    lines: int = 0
    digest: str = ""
    own_cpu: float = 0.0  # of `cpu`, that of the process itself: without its children


@dataclass(slots=True)
class Stall:
    """A reader that stops once, for some seconds, after so many bytes."""

    after_bytes: int
    seconds: float


@dataclass(slots=True)
class Samples:
    """All measured runs of one command; `first` is the warm-up, which is not counted."""

    first: Sample | None = None
    runs: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def first_byte(self) -> float:
        return median(run.first_byte for run in self.runs)

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs)

    @property
    def least_seconds(self) -> float:
        return min(run.seconds for run in self.runs)

    @property
    def least_cpu(self) -> float:
        return min(run.cpu for run in self.runs)

    @property
    def own_share(self) -> float:
        return median(run.own_cpu / run.cpu for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return median(run.peak_mb for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        seconds = [run.seconds for run in self.runs]
        return min(seconds), max(seconds)


def run(
    command: Sequence[str],
    stdin: Path | bytes | list[Path],
    *,
    inspect: bool = False,
    stall: Stall | None = None,
    path: str | None = None,
    variables: Mapping[str, str] = {},
    code: int = 0,
) -> Sample:
    """Run `command` with its output in a pipe that is read at once (or with a `stall`).

    `stdin`: a regular file, redirected; or bytes, or files one after another, through a pipe.
    `inspect` counts lines and hashes the output: for warm-ups, for it takes CPU time.
    `path`: where Python looks for modules first. `variables` of its environment are added to ours.
    `code`: how it has to exit.

    The peak is that of the kernel (`ru_maxrss`). It never falls below the size of the
    process that started the command, so this one stays small: no plotting library here.
    """
    with tempfile.TemporaryFile() as stderr:
        source, feeder = _source(stdin)
        begin = time.perf_counter()
        pipe = subprocess.PIPE
        env = os.environ | variables | ({} if path is None else {"PYTHONPATH": path})
        process = subprocess.Popen(command, stdin=source, stdout=pipe, stderr=stderr, env=env)
        os.close(source)
        assert process.stdout is not None
        sample = _drain(process.stdout.fileno(), begin, inspect, stall)
        sample.own_cpu = _own_cpu(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        sample.seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if feeder is not None:
            feeder.wait()
        if process.returncode != code:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")[-2000:].strip()
            raise RunError(f"{' '.join(command)}: exit {process.returncode}: {said}")
    sample.cpu = usage.ru_utime + usage.ru_stime
    sample.peak_mb = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return sample


def _own_cpu(pid: int) -> float:
    """Wait for the end of a process that `os.wait4` is still to be asked for; its CPU seconds.

    What `os.wait4` says includes all children that the process has waited for. The kernel
    keeps both apart in `/proc/PID/stat`, until the process is reaped: fields 14 and 15 are
    user and system time of all threads of its own, in ticks of 10 ms. 0 where there is none.
    """
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()  # from field 3 on
    except (AttributeError, FileNotFoundError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _source(stdin: Path | bytes | list[Path]) -> tuple[int, subprocess.Popen[bytes] | None]:
    if isinstance(stdin, Path):
        return os.open(stdin, os.O_RDONLY), None
    if isinstance(stdin, bytes):
        reader, writer = os.pipe()
        os.write(writer, stdin)  # a line or two: less than a pipe holds
        os.close(writer)
        return reader, None
    feeder = subprocess.Popen(["cat", *map(str, stdin)], stdout=subprocess.PIPE)
    assert feeder.stdout is not None
    reader = os.dup(feeder.stdout.fileno())
    feeder.stdout.close()  # or the feeder would outlive a command that stops reading
    return reader, feeder


def _drain(pipe: int, begin: float, inspect: bool, stall: Stall | None) -> Sample:
    buffer = bytearray(READ)
    view = memoryview(buffer)
    total = lines = 0
    first = 0.0
    digest = hashlib.sha256()
    while size := os.readv(pipe, [buffer]):
        first = first or time.perf_counter()
        total += size
        if inspect:
            lines += buffer.count(b"\n", 0, size)
            digest.update(view[:size])
        if stall is not None and total >= stall.after_bytes:
            time.sleep(stall.seconds)
            stall = None
    return Sample(0.0, first - begin, 0.0, 0.0, total, lines, digest.hexdigest())


def alternate(
    sides: dict[str, Callable[[bool], Sample]],
    repeat: int,
    say: Callable[[str], None],
) -> dict[str, Samples]:
    """Warm each side up, then run them in turns, every second round backwards.

    In turns, so that a machine that is slower for a while is slower for all of them. Each
    side is called with whether it is the warm-up.
    """
    out = {name: Samples() for name in sides}
    for name, start in sides.items():
        say(f"{name}: warm-up")
        out[name].first = start(True)
    names = list(sides)
    for turn in range(repeat):
        for name in names if turn % 2 == 0 else reversed(names):
            sample = sides[name](False)
            say(f"{name}: {turn + 1}/{repeat}  {sample.seconds:.3f} s")
            out[name].runs.append(sample)
    return out


def trickle(command: Sequence[str], line: bytes, per_second: float, seconds: float) -> list[float]:
    """Seconds from each line in to the same line out, one line at a time at that pace."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        feed, out = process.stdin.fileno(), process.stdout.fileno()
        os.write(feed, line)
        os.read(out, READ)  # start-up is measured elsewhere
        return _latencies(feed, out, line, 1 / per_second, max(1, int(per_second * seconds)))
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _latencies(feed: int, out: int, line: bytes, every: float, count: int) -> list[float]:
    sent: list[float] = []
    latencies: list[float] = []
    due = time.perf_counter() + every
    while len(latencies) < count:
        now = time.perf_counter()
        if len(sent) < count and now >= due:
            sent.append(now)
            os.write(feed, line)
            due += every
            continue
        patience = due - now if len(sent) < count else 10.0
        if select.select([out], [], [], patience)[0]:
            answer = os.read(out, READ)
            now = time.perf_counter()
            if not answer:
                raise RunError(f"the output ended after {len(latencies)} lines")
            answered = sent[len(latencies) : len(latencies) + answer.count(b"\n")]
            latencies += [now - moment for moment in answered]
        elif len(sent) == count:
            raise RunError(f"{count - len(latencies)} lines never came out")
    return latencies
