"""Random inputs of every form through random pipelines, disturbed until they end, byte by byte.

`python tests/disturbances.py [--rounds N] [--seed N]` is a part of `make torture`; the tests run
a few rounds. A round is compared with an undisturbed run: output, dead letters, the final account.
Where `tests/torture.py` looks at one fault at a time, this one mixes them: kill -9, one to three
signals, SIGSTOP, deaths of workers, inputs that grow meanwhile, other data in the output.
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
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

COMMAND = [sys.executable, "-m", "streamproc"]
PATIENCE_S = 120
LINES = 4_000
FINAL = (0, 3)
DISTURBED = (-9, 75, 129, 130, 143)
PLACES = ("ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed")
STAGES = """
import asyncio, random, time, streamproc

@streamproc.transform
def reshape(record):
    n = record.get("n", 0)
    if n % 5 == 0:
        return None
    if n % 7 == 0:
        return [{**record, "k": k} for k in range(3)]
    if n % 11 == 0:
        raise ValueError("every eleventh")
    return record

async def slow(record):
    await asyncio.sleep(random.random() * 0.003)
    if record.get("n", 0) % 13 == 0:
        raise ValueError("every thirteenth")
    return {"twice": record.get("n", 0) * 2}

def busy(record):
    until = time.perf_counter() + 0.00015
    while time.perf_counter() < until:
        pass
    if record.get("n", 0) % 13 == 0:
        raise ValueError("every thirteenth")
    return {"twice": record.get("n", 0) * 2}
"""


class Round:
    """One input, one pipeline, one output, in a folder of its own."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.dice = dice = random.Random(seed)
        self.folder = folder
        self.kills: Counter[str] = Counter()
        self.source = dice.choice(["file", "files", "stdin", "pipe", "mixed"])
        self.sink = dice.choice(["-o", ">>", "|"])
        self.on_error = dice.choice(["annotate", "dead-letter", "drop"])
        self.mixes_orders = dice.random() < 0.5
        self.is_unordered = self.sink == "|"  # what came twice is not compared in order
        self.longest = 9_000 if dice.random() < 0.5 else 3_900
        stages = ["-e", "stages.py:reshape"] * (dice.random() < 0.6)
        self.stages = [*stages, "-e", f"stages.py:{dice.choice(['slow', 'busy'])}"]
        (folder / "stages.py").write_text(STAGES)
        cuts = sorted(dice.randrange(LINES) for _ in range(3))
        for name, first, stop in zip("abcd", [0, *cuts], [*cuts, LINES], strict=True):
            self._write(name, first, stop)
        self._write("in", 0, LINES)
        self.inputs = {"file": ["in"], "files": [*"abcd"], "mixed": ["a", "-", "c", "d"]}.get(
            self.source, []
        )
        if self.source == "mixed":
            shutil.copy(folder / "b", folder / "in")
        # the last file grows while it is worked on
        self.whole = b""
        self.grows = self.source in ("file", "files", "mixed", "stdin") and dice.random() < 0.5
        self.last = folder / (self.inputs[-1] if self.inputs else "in")
        if self.grows:
            self.whole = self.last.read_bytes()

    def __str__(self) -> str:
        parts = (self.source, self.sink, *self.stages[1::2], self.on_error)
        return " ".join((*parts, "growing" * self.grows, "both orders" * self.mixes_orders))

    def _write(self, name: str, first: int, stop: int) -> None:
        lines = [self._line(n) for n in range(first, stop)]
        data = b"\n".join(lines) + b"\n" * (bool(lines) and self.dice.random() < 0.7)
        bom = b"\xef\xbb\xbf" * (self.dice.random() < 0.5)
        (self.folder / name).write_bytes(bom + data)

    def _line(self, n: int) -> bytes:
        dice, kind = self.dice, self.dice.random()
        if kind < 0.02:
            line = b""
        elif kind < 0.03:
            line = b"  \t"
        elif kind < 0.05:
            line = b'{"n":%d,' % n
        elif kind < 0.06:
            line = b'{"n":%d,"pad":"%s"}' % (n, b"x" * dice.randrange(2_000, self.longest))
        elif kind < 0.065:
            line = b"\xff\xfa" + b"y" * dice.randrange(3_000)  # no mark of UTF-16, which is refused
        elif kind < 0.08:
            line = b'{"n":%d,"_error":{"stage":"a"}}' % n
        elif kind < 0.09:
            line = b"[%d]" % n
        else:
            line = b'{"n":%d,"pad":"%s"}' % (n, b"x" * dice.randrange(80))
        return line + b"\r" * (dice.random() < 0.3)

    @contextmanager
    def started(self, output: str, *more: str) -> Iterator[tuple[Any, IO[bytes]]]:
        """The command, and the file that its stderr goes to; killed at the end."""
        command = [*COMMAND, *self.stages, "--max-line-bytes", "4000", "--summary", "json",
                   "--log-level", "error", "--max-restarts", "1000", *more]  # fmt: skip
        if self.on_error != "annotate":
            command += ["--on-error", self.on_error]
        if self.on_error == "dead-letter":
            command += ["--dead-letter", f"{output}.dead"]
        if self.sink == "-o":
            command += ["-o", output]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        feeder = reader = None
        with (
            tempfile.TemporaryFile() as stderr,
            open(self.folder / "in", "rb") as file,
            open(self.folder / output, "ab") as out,
        ):
            source: Any = file if self.source == "stdin" else null
            if self.source in ("pipe", "mixed"):
                feeder = subprocess.Popen(["cat", "in"], cwd=self.folder, stdout=pipe)
                source = feeder.stdout
            sink: Any = {"-o": null, ">>": out}.get(self.sink)
            if sink is None:
                reader = subprocess.Popen(["cat"], stdin=pipe, stdout=out)
                sink = reader.stdin
            process = subprocess.Popen([*command, *self.inputs], cwd=self.folder, stdin=source,
                                       stdout=sink, stderr=stderr)  # fmt: skip
            for each in (feeder and feeder.stdout, reader and reader.stdin):
                if each:
                    each.close()
            try:
                yield process, stderr
            finally:
                process.kill()
                process.wait()
                if feeder is not None:
                    feeder.kill()
                    feeder.wait()
                if reader is not None:
                    reader.wait()

    def account(self, process: Any, stderr: IO[bytes], what: str) -> dict[str, int] | None:
        """What it said in the end, which has to add up; None if it could not say anything."""
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs after {what}, process {process.pid}") from None
        stderr.seek(0)
        said = stderr.read()
        assert code in (*FINAL, *DISTURBED), f"exit {code} after {what}: {said[-2000:]!r}"
        assert b"Traceback" not in said, f"after {what}: {said[-2000:]!r}"
        lines = [line for line in said.splitlines() if line.startswith(b'{"received"')]
        if not lines:
            assert code not in FINAL, f"no account: {said[-2000:]!r}"
            return None
        counts: dict[str, int] = json.loads(lines[-1])
        assert counts["received"] == sum(counts[each] for each in PLACES), f"{what}: {counts}"
        assert counts["exit_code"] == code, f"{what}: exit {code}: {counts}"
        return counts

    def content(self, output: str) -> list[Any]:
        """Output and dead letters: as they are, or as lines where order is not promised."""
        found: list[Any] = []
        for path in (self.folder / output, self.folder / f"{output}.dead"):
            data = path.read_bytes() if path.exists() else b""
            assert data.endswith(b"\n") or not data or self.sink == "|", f"{path} has a torn line"
            found.append(sorted(data.splitlines()) if self.is_unordered else data)
        return found

    def compare(self, when: str) -> None:
        got, wanted = self.content("out"), self.content("expected")
        if self.sink == "|":  # at least once; a line may be torn where a pipe was cut off
            got[0] = sorted(set(wanted[0]) & set(got[0]))
            wanted[0] = sorted(set(wanted[0]))
        assert got[0] == wanted[0], f"{when}: the output differs"
        assert got[1] == wanted[1], f"{when}: dead letters differ"

    def play(self) -> None:
        """Raises AssertionError."""
        with self.started("expected") as (process, stderr):
            expected = self.account(process, stderr, "nothing")
        assert expected is not None
        if self.grows:
            os.truncate(self.last, self.dice.randrange(len(self.whole)))
        final = None
        for k in range(80):
            final = self._disturbed(k)
            if final is not None and not self.grows:
                break
            if self.grows:
                size = self.last.stat().st_size + self.dice.randrange(1, len(self.whole))
                with open(self.last, "ab") as file:
                    file.write(self.whole[file.tell() : size])
                self.grows = size < len(self.whole)
        assert final is not None, "it never ended"
        self.compare("at the end")
        for name in ("received", "blank"):
            assert final[name] == expected[name], f"{name}: {final} instead of {expected}"
        with self.started("out", "--checkpoint", "cp", "--resume") as (process, stderr):
            again = self.account(process, stderr, "its end")
        assert again is not None
        assert again["skipped"] == again["received"] == expected["received"], f"again: {again}"
        self.compare("once more")

    def _checkpoint(self) -> int:
        path = self.folder / "cp"
        return path.stat().st_ino if path.exists() else 0

    def _disturbed(self, k: int) -> dict[str, int] | None:
        """One start; what it said if it came to its end."""
        dice = self.dice
        more = ["--checkpoint", "cp", "--resume", "-j", str(dice.choice([2, 4, 64]))]
        if dice.random() < 0.35:
            more += ["-w", "2"]
        if self.mixes_orders and dice.random() < 0.6:
            more.append("--unordered")
            self.is_unordered = True
        waits, before = dice.random() < 0.8, self._checkpoint()
        # to signals the interpreter gives answers of its own until our code runs
        name = dice.choice([*DISTURBANCES]) if waits else "kill -9"
        with self.started("out", *more) as (process, stderr):
            while waits and process.poll() is None and self._checkpoint() == before:
                time.sleep(0.005)  # starting takes longer than much of what comes after it
            until_s = time.monotonic() + dice.random() * (0.3 + 0.15 * k)
            while process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.005)
            if process.poll() is None:
                self.kills[name] += 1
                DISTURBANCES[name](self, process)
            counts = self.account(process, stderr, f"{name} {more}")
        return counts if process.returncode in FINAL else None


def _signals(*numbers: signal.Signals) -> Callable[[Round, Any], None]:
    def send(round_: Round, process: Any) -> None:
        for number in numbers:
            process.send_signal(number)
            time.sleep(round_.dice.random() * 0.05)

    return send


def _stop(round_: Round, process: Any) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(round_.dice.random())
    process.send_signal(signal.SIGCONT)
    time.sleep(round_.dice.random() * 0.5)
    process.kill()


def _kill_worker(round_: Round, process: Any) -> None:
    with suppress(OSError):
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            children = file.read().split()
        if children:
            os.kill(int(round_.dice.choice(children)), round_.dice.choice([9, 15]))
    if round_.dice.random() < 0.5:
        time.sleep(0.3)
        process.kill()


DISTURBANCES: dict[str, Callable[[Round, Any], None]] = {
    "kill -9": _signals(signal.SIGKILL),
    "SIGTERM": _signals(signal.SIGTERM),
    "SIGHUP": _signals(signal.SIGHUP),
    "two signals": _signals(signal.SIGINT, signal.SIGTERM),
    "three signals": _signals(signal.SIGINT, signal.SIGTERM, signal.SIGINT),
    "SIGSTOP and kill -9": _stop,
    "death of a worker": _kill_worker,
}


def play(seed: int) -> Counter[str]:
    """One round; returns how it was disturbed. Its folder is kept when it fails."""
    folder = Path(tempfile.mkdtemp(prefix=f"disturbed-{seed}-"))
    round_ = Round(seed, folder)
    description = str(round_)
    try:
        round_.play()
    except AssertionError as problem:
        raise AssertionError(f"seed {seed}, {description}: {problem}; see {folder}") from None
    shutil.rmtree(folder)
    return round_.kills


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    survived: Counter[str] = Counter()
    failures = 0
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        try:
            survived += play(seed)
            print(f"round {seed} is identical", flush=True)
        except AssertionError as problem:
            failures += 1
            print(f"FAILED: {problem}", flush=True)
    print(f"disturbances: {arguments.rounds - failures} of {arguments.rounds} rounds are identical")
    for what, count in survived.items():
        print(f"survived {count} x {what}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
