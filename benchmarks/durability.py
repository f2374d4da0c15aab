"""Checkpoints: what they cost, how fast a run goes on, and whether anything is lost or doubled.

Files stand in the folder of the data and not in one for temporary files, which may be memory.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.cases import STREAMPROC, Bar, Results, Row
from benchmarks.generate import DATA, leads_file
from benchmarks.measure import READ, RunError, Sample, Samples, alternate, run
from tests.torture import Case, Fault, kill_parent, kill_workers

COPIES = 4  # of --records: 1 GB
KILLED_AT = 0.9
PATIENCE_S = 600.0


def durability(records: int, repeat: int, results: Results) -> None:
    """File to file, and what is left of a run that was killed."""
    DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="durability-", dir=DATA) as folder:
        _cost(Path(folder), leads_file(records), records, repeat, results)
        _going_on(Path(folder), leads_file(records), repeat, results)


def _cost(folder: Path, path: Path, records: int, repeat: int, results: Results) -> None:
    def runner(more: list[str]) -> Callable[[bool], Sample]:
        def start(_: bool) -> Sample:
            for name in ("out", "cp"):
                (folder / name).unlink(missing_ok=True)
            os.sync()  # what the run before has written is no business of this one
            out = str(folder / "out")
            sample = run([STREAMPROC, "-e", "none", "-o", out, *more, str(path)], b"")
            if not filecmp.cmp(path, out, shallow=False):
                raise RunError(f"-e none {' '.join(more)}: the output is not the input")
            return sample

        return start

    sides = {
        "file to file": runner([]),
        "file to file, --checkpoint": runner(["--checkpoint", str(folder / "cp")]),
    }
    measured = alternate(sides, repeat, _say)
    bars = [Bar("durability", name, "streamproc", records, measured[name]) for name in sides]
    results.bars += bars
    results.rows.append(
        Row(
            "`-e none`, file to file, `--checkpoint`",
            "without",
            bars[1].per_second / bars[0].per_second,
            0.95,
        )
    )


class _Killed:
    """A run of `-e none` that was killed at 90% of its input, again and again as it was then."""

    def __init__(self, folder: Path, big: Path, *, is_pipe: bool) -> None:
        self._folder = folder
        self._big = big
        self._is_pipe = is_pipe
        process, feeder = self._start()
        size = int(big.stat().st_size * KILLED_AT)
        try:
            _until(lambda: self._written >= size, process)
        finally:
            _end(process, feeder)
        self._size = self._written
        self._checkpoint = (folder / "cp").read_bytes()
        self.offset: int = json.loads(self._checkpoint.splitlines()[-1])["output"]["offset"]

    @property
    def _written(self) -> int:
        path = self._folder / "out"
        return path.stat().st_size if path.exists() else 0

    def resume(self) -> float:
        """Seconds from the start of the command to the first new record; it is killed then."""
        (self._folder / "cp").write_bytes(self._checkpoint)
        os.truncate(self._folder / "out", self.offset)
        os.truncate(self._folder / "out", self._size)  # has to be cut off again
        begin = time.perf_counter()
        process, feeder = self._start("--resume")
        try:
            _until(lambda: self.offset < self._written != self._size, process)
            return time.perf_counter() - begin
        finally:
            _end(process, feeder)

    def finish(self) -> None:
        """Go on to the end. Raises `RunError` if that is not as it should be."""
        process, feeder = self._start("--resume")
        code = process.wait(PATIENCE_S)
        _end(process, feeder)
        if code or not filecmp.cmp(self._big, self._folder / "out", shallow=False):
            raise RunError(f"killed and resumed, exit {code}: the output is not the input")

    def _start(self, *more: str) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes] | None]:
        command = [STREAMPROC, "-e", "none", "-o", "out", "--checkpoint", "cp", *more]
        if not self._is_pipe:
            return subprocess.Popen([*command, str(self._big)], cwd=self._folder), None
        feeder = subprocess.Popen(["cat", str(self._big)], stdout=subprocess.PIPE)
        process = subprocess.Popen(command, cwd=self._folder, stdin=feeder.stdout)
        assert feeder.stdout is not None
        feeder.stdout.close()
        return process, feeder


def _going_on(folder: Path, path: Path, repeat: int, results: Results) -> None:
    big = folder / "big"
    with big.open("wb") as out:
        for _ in range(COPIES):
            with path.open("rb") as source:
                shutil.copyfileobj(source, out, READ)
    killed = {}
    for name in ("file", "pipe"):
        (folder / name).mkdir()
        killed[name] = _Killed(folder / name, big, is_pipe=name == "pipe")
    measured = alternate(
        {
            f"--resume, {name}": lambda _, run=run: Sample(run.resume(), 0, 0, 0, 0)  # type: ignore[misc]
            for name, run in killed.items()
        },
        repeat,
        _say,
    )
    for each in killed.values():
        each.finish()
    _going_on_rows(big, killed, measured, results)


def _going_on_rows(
    big: Path, killed: dict[str, _Killed], measured: dict[str, Samples], results: Results
) -> None:
    what = f"`--resume` of a run over {big.stat().st_size / 1e6:,.0f} MB killed at 90%"
    file_s, pipe_s = measured["--resume, file"].seconds, measured["--resume, pipe"].seconds
    results.rows.append(
        Row(
            f"{what}, a file: until the first new record",
            "-",
            file_s,
            1,
            unit=" s",
            lower_is_better=True,
        )
    )
    # the rest of the time is that of the file: start-up, and cutting the output
    hashed_mb = killed["pipe"].offset / 1e6
    results.rows.append(
        Row(
            f"{what}, a pipe: hashed and skipped",
            "-",
            hashed_mb / max(pipe_s - file_s, 1e-3),
            500,
            unit=" MB/s",
            note=f"{hashed_mb:,.0f} MB, {pipe_s:.2f} s with the start; SHA-256 alone "
            f"{_hashing_mb_s():,.0f} MB/s",
        )
    )


def kills(count: int, results: Results) -> None:
    """`count` random kill -9 each, ordered and unordered, and half as many of workers."""
    for order in ("ordered", "unordered"):
        _kill(f"random `kill -9` and `--resume`, {order}", kill_parent, order, count, results)
    what = "random `kill -9` of a worker, `-w 2`"
    _kill(what, kill_workers, "either order", max(1, count // 2), results)


def _kill(what: str, fault: Fault, order: str, count: int, results: Results) -> None:
    """Rounds of `tests/torture.py` until there were so many kills."""
    survived: Counter[str] = Counter()
    rounds = different = 0
    begin = time.perf_counter()
    while survived.total() < count:
        rounds += 1
        folder = Path(tempfile.mkdtemp(prefix="kills-"))
        case = Case(folder, random.Random(rounds))
        if fault is kill_parent:
            case.source, case.sink = "file", "-o"
            case.ordered = order == "ordered"
        try:
            fault(case, survived)
        except AssertionError as problem:  # its folder is kept
            different += 1
            _say(f"round {rounds}: {problem}")
            survived["failed"] += 1  # or a fault that always fails would never end
        else:
            shutil.rmtree(folder)
        _say(f"{what}: {survived.total()}/{count}")
    results.rows.append(
        Row(
            f"{survived.total()} × {what}",
            "undisturbed runs",
            different,
            0,
            unit=" different",
            lower_is_better=True,
            note=f"rounds: {rounds}, {time.perf_counter() - begin:.0f} s",
        )
    )


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while True:
        code = process.poll()
        if condition():
            return
        if code is not None:
            raise RunError(f"{process.args!r}: exit {code}, too early")
        if time.perf_counter() > deadline:
            raise RunError(f"{process.args!r}: nothing comes of it")
        time.sleep(0.0005)


def _end(process: subprocess.Popen[bytes], feeder: subprocess.Popen[bytes] | None) -> None:
    for each in filter(None, (process, feeder)):
        each.kill()
        each.wait()


def _hashing_mb_s() -> float:
    data, digest = bytes(READ), hashlib.sha256()
    begin = time.perf_counter()
    for _ in range(256):
        digest.update(data)
    return 256 * READ / 1e6 / (time.perf_counter() - begin)


def _say(text: str) -> None:
    print(f"[durability] {text}", file=sys.stderr, flush=True)
