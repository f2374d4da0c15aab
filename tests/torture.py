"""Kill it anywhere: faults at random moments, then `--resume`, then compare every byte.

`python tests/torture.py [--rounds N] [--seed N]` runs all of it (`make torture`); the tests
run a few rounds of each. A round is one input that goes through one pipeline, however many
faults that takes; it ends with the same output as an undisturbed run, or the script fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from streamproc.pipes import PIPE_BYTES

COMMAND = [sys.executable, "-m", "streamproc"]
STAGE = """
import asyncio, random, time

async def slow(record):
    await asyncio.sleep(random.random() * 0.08)
    if record["n"] % 97 == 0:
        raise ValueError("every 97th")
    return {"twice": record["n"] * 2}

def busy(record):
    time.sleep(0.0005)  # keeps the loop, not the machine
    if record["n"] % 97 == 0:
        raise ValueError("every 97th")
    return {"twice": record["n"] * 2}
"""
LINES = 4_000  # seconds, and some checkpoints, with either stage
KILLS = 20  # of workers in a round
PAD = 700  # bytes at most: the output is much larger than what pipes and buffers hold
READ_BYTES = 16_384  # what a buffered reader takes at a time, and a line
FINAL = (0, 3)
# what Python says of a SIGINT that comes before it can run any code: exit 1
NOT_BEGUN = "init_import_site"


Begin = Callable[..., subprocess.Popen[bytes]]


class Case:
    """One input, one pipeline, one output, in a folder of its own; `begin` is how it is started."""

    def __init__(
        self, folder: Path, dice: random.Random, begin: Begin = subprocess.Popen, count: int = LINES
    ) -> None:
        self.folder = folder
        self.begin = begin
        self.source = dice.choice(["file", "files", "stdin", "pipe"])
        self.sink = dice.choice(["-o", ">>"])
        self.ordered = dice.random() < 0.6
        self.letters = dice.random() < 0.5
        self.function = dice.choice(["slow", "busy"])
        self.more = ("-w", "2", "--log-level", "error") if dice.random() < 0.4 else ()
        self.dice = dice
        (folder / "stages.py").write_text(STAGE)
        lines = [
            b'{"n":%d,"pad":"%s"}' % (n, b"x" * dice.randrange(PAD)) * (dice.random() > 0.01)
            for n in range(count)
        ]
        cut = dice.randrange(count)
        for name, part in (("a", lines[:cut]), ("b", lines[cut:])):
            (folder / name).write_bytes(b"".join(line + b"\n" for line in part))
        (folder / "in").write_bytes(b"".join(line + b"\n" for line in lines))

    def __str__(self) -> str:
        order = "ordered" if self.ordered else "unordered"
        parts = (self.source, self.sink, order, self.function, "letters" * self.letters, *self.more)
        return " ".join(filter(None, parts))

    def command(self, output: str, *more: str) -> list[str]:
        command = [*COMMAND, "-e", f"stages.py:{self.function}", *self.more, *more]
        if not self.ordered:
            command.append("--unordered")
        if self.letters:
            command += ["--on-error", "dead-letter", "--dead-letter", f"{output}.dead"]
        if self.sink == "-o":
            command += ["-o", output]
        if self.source == "file":
            command.append("in")
        return command + (["a", "b"] if self.source == "files" else [])

    @contextmanager
    def started(
        self, output: str, *more: str, shell: str = ""
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The command with its input and output, after `shell`; killed at the end."""
        path = self.folder / output
        feeder = None
        if self.source == "pipe":
            feeder = subprocess.Popen(["cat", "in"], cwd=self.folder, stdout=subprocess.PIPE)
        with (
            open(self.folder / "in", "rb") as file,
            open(path, "ab") if self.sink == ">>" else open(os.devnull, "wb") as sink,
            open(self.folder / "stderr", "ab") as stderr,
        ):
            source = feeder.stdout if feeder is not None else file
            command = self.command(output, *more)
            if shell:
                command = ["bash", "-c", shell + shlex.join(command)]
            process = self.begin(
                command,
                cwd=self.folder,
                stdin=source,
                stdout=subprocess.PIPE if self.sink == "|" else sink,
                stderr=stderr,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()
                if feeder is not None and feeder.stdout is not None:
                    feeder.stdout.close()
                    feeder.kill()
                    feeder.wait()

    def resumed(self, shell: str = "") -> AbstractContextManager[subprocess.Popen[bytes]]:
        return self.started("out", "--checkpoint", "cp", "--resume", shell=shell)

    def content(self, output: str) -> tuple[object, object]:
        """What was written: as it is, or as a set of lines where order is not promised."""
        found = []
        for path in (self.folder / output, self.folder / f"{output}.dead"):
            data = path.read_bytes() if path.exists() else b""
            assert data.endswith(b"\n") or not data, f"{path} ends in the middle of a line"
            found.append(data if self.ordered else sorted(data.splitlines()))
        return found[0], found[1]

    def last_words(self) -> str:
        return (self.folder / "stderr").read_text()[-2000:]

    def check(self, code: int) -> None:
        assert code in FINAL, f"{self}: exit {code}: {self.last_words()}"
        with self.started("expected") as process:
            assert process.wait() in FINAL
        for what, got, wanted in zip(
            ("output", "dead letters"), self.content("out"), self.content("expected"), strict=True
        ):
            assert got == wanted, f"{self}: {what} differ, see {self.folder}"


Fault = Callable[[Case, Counter[str]], None]


def kill_parent(case: Case, survived: Counter[str]) -> None:
    """kill -9 at any moment, from the first on."""
    _until_done(case, survived, "kill -9", signal.SIGKILL)


def terminate(case: Case, survived: Counter[str]) -> None:
    """SIGTERM: what was read is finished, then the checkpoint says so."""
    _until_done(case, survived, "SIGTERM", signal.SIGTERM)


def abort(case: Case, survived: Counter[str]) -> None:
    """Two signals at once: what is in flight is left to the next run."""
    # two alike may arrive as one
    _until_done(case, survived, "two signals", signal.SIGINT, signal.SIGTERM)


def lose_writes(case: Case, survived: Counter[str]) -> None:
    """A machine that comes back without its last writes: older copies of what it wrote."""
    copies = [case.folder / "out", case.folder / "cp", case.folder / "out.dead"]
    for _ in range(3):
        with case.resumed() as process:
            _until_saved(case, process)
            if process.poll() is not None:
                break
            for path in copies:  # the output is older than the checkpoint
                if path.exists():
                    shutil.copy(path, f"{path}.old")
            _until_saved(case, process)
            _sleep(case, 0, 0.5)
        if not (case.folder / "out.old").exists() or not (case.folder / "out.old").stat().st_size:
            continue
        for path in copies:
            if path.name != "cp" and Path(f"{path}.old").exists():
                shutil.copy(f"{path}.old", path)
        survived["lost writes"] += 1
    _finish(case)


def cut_checkpoint(case: Case, survived: Counter[str]) -> None:
    """A checkpoint that lost its end: an older entry of it is good."""
    with case.resumed() as process:
        _until_saved(case, process)
        _until_saved(case, process)
        is_whole = process.poll() is None
    path = case.folder / "cp"
    if is_whole:
        os.truncate(path, path.stat().st_size - case.dice.randrange(1, 200))
        survived["truncated checkpoint"] += 1
    _finish(case)


def kill_workers(case: Case, survived: Counter[str]) -> None:
    """kill -9 of one worker after the other, while the pipeline runs on."""
    case.more = ("-w", "2", "--log-level", "error", "--max-restarts", "1000")
    with case.resumed() as process:
        _sleep(case, 0.3, 0.6)
        # not for ever: on a busy machine a worker would never live long enough to do anything
        for _ in range(KILLS):
            if process.poll() is not None:
                break
            for child in _children(process.pid)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    survived["kill -9 of a worker"] += 1
            _sleep(case, 0.1, 0.8)
        code = process.wait()
    case.check(code)


def fill_disk(case: Case, survived: Counter[str]) -> None:
    """No room for a while: the run ends with 74, and what does not fit is not half there."""
    case.more = (*case.more, "--drain-timeout", "5")
    whole = (case.folder / "in").stat().st_size
    for share in (0.2, 0.7):
        limit = int(whole * share) // 1024  # RLIMIT_FSIZE, in KiB for the shell
        with case.resumed(f"ulimit -f {limit}; exec ") as process:
            code = process.wait()
        if code in FINAL:
            break
        assert code == 74, f"{case}: exit {code}, see {case.folder}"
        survived["disk full"] += 1
    _finish(case)


def lose_reader(case: Case, survived: Counter[str]) -> None:
    """The reader of a pipe goes away: missing is at most what the pipe still held."""
    case.sink, case.letters = "|", False
    got: set[bytes] = set()
    lost = 0
    while True:
        with case.resumed() as process:
            assert process.stdout is not None
            data = process.stdout.read(case.dice.randrange(200_000))
            rest = os.read(process.stdout.fileno(), 1)
            process.stdout.close()
            code = process.wait()
        got |= set(data.split(b"\n")[: -1 if rest else None])
        if code in FINAL:
            break
        assert code == 141, f"{case}: exit {code}, see {case.folder}"
        lost += 1
        survived["reader gone"] += 1
    with case.started("expected") as process:
        assert process.stdout is not None
        missing = set(process.stdout.read().splitlines()) - got
    size = sum(map(len, missing)) + len(missing)
    assert size <= lost * (PIPE_BYTES + READ_BYTES), (
        f"{case}: {size} bytes are missing, see {case.folder}"
    )


FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        kill_parent,
        terminate,
        abort,
        lose_writes,
        cut_checkpoint,
        kill_workers,
        fill_disk,
        lose_reader,
    )
}


def _until_done(case: Case, survived: Counter[str], name: str, *signals: signal.Signals) -> None:
    """Starts it again and again; each run lives a little longer than the one before."""
    for k in range(40):
        # most of them when it has begun: how long a start takes is the machine's business
        waits, before = case.dice.random() < 0.8, _checkpoint(case)
        with case.resumed() as process:
            while waits and process.poll() is None and _checkpoint(case) == before:
                time.sleep(0.005)
            deadline = time.monotonic() + case.dice.random() * (0.4 + 0.4 * k)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            code = process.poll()
            if code is None:
                for number in signals:
                    process.send_signal(number)
                code = process.wait()
                survived[name] += 1
            if code in FINAL:
                case.check(code)
                return
            # -2, -15: the interpreter had not begun to run our code
            has_begun = code != 1 or NOT_BEGUN not in case.last_words()
            assert code in (-9, 75, 130, 143, -2, -15) or not has_begun, (
                f"{case}: exit {code}, see {case.folder}"
            )
    _finish(case)


def _until_saved(case: Case, process: subprocess.Popen[bytes]) -> None:
    """The checkpoint is of more lines than now, or the run is over."""
    begun_at = _saved_lines(case)
    while process.poll() is None and _saved_lines(case) <= begun_at:
        time.sleep(0.005)


def _checkpoint(case: Case) -> int:
    """Another number for each that was saved."""
    path = case.folder / "cp"
    return path.stat().st_ino if path.exists() else 0


def _saved_lines(case: Case) -> int:
    path = case.folder / "cp"
    entries = path.read_bytes().splitlines() if path.exists() else []
    return int(json.loads(entries[-1]).get("progress", {}).get("lines", 0)) if entries else 0


def _children(pid: int) -> list[int]:
    """Workers that are there, and have begun to be workers."""
    with suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in reversed(file.read().split())]
    return []


def _finish(case: Case) -> None:
    with case.resumed() as process:
        case.check(process.wait())


def _sleep(case: Case, least: float, most: float) -> None:
    time.sleep(case.dice.uniform(least, most))


def play(
    fault: Fault,
    seed: int,
    survived: Counter[str],
    begin: Begin = subprocess.Popen,
    count: int = LINES,
) -> None:
    """One round; its folder is kept when it fails."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    case = Case(folder, random.Random(seed), begin, count)
    try:
        fault(case, survived)
    except AssertionError as problem:
        raise AssertionError(f"{fault.__name__}, seed {seed}: {problem}") from None
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=FAULTS)
    arguments = parser.parse_args()
    survived: Counter[str] = Counter()
    for name in [arguments.only] if arguments.only else FAULTS:
        for k in range(arguments.rounds):
            play(FAULTS[name], arguments.seed + k, survived)
        print(f"{name}: {arguments.rounds} rounds are identical", flush=True)
    for what, count in survived.items():
        print(f"survived {count} x {what}")


if __name__ == "__main__":
    main()
