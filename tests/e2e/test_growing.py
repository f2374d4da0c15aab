"""Workers that nobody asked for: nobody can tell it by what comes out."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from streamproc.engines.cores import usable_cores
from tests.conftest import PATIENCE_S, records, summary

pytestmark = [
    pytest.mark.skipif(usable_cores() == 1, reason="there is one CPU"),
    pytest.mark.forked(workers="started"),
]

# dear for what it reads, on any machine
STAGES = ("-e", "select:{n: n, s: sum(map(&abs(@), sort(a))), t: sort_by(b, &to_string(@))[0]}")
NUMBERS = ",".join(str(n * 7 % 20) for n in range(20))
ODD = b'[]\n\n{"n": nonsense}\r\n{"n":\xff}\n{"n":1,"_error":{"kind":"x"}}\n{"n":"\xe2\x80\xa8"}\n'
SAYS = ("--log-level", "info", "--summary", "json")
SAID = b"workers go on"


def chunks() -> Iterator[bytes]:
    """Input without end, of the same lines each time: 200 records, and odd ones in between."""
    for k in count():
        numbers = range(k * 200, k * 200 + 200)
        lines = (b'{"n":%d,"a":[%b],"b":["x","y"]}\n' % (n, NUMBERS.encode()) for n in numbers)
        yield b"".join(lines) + ODD * (k % 10 == 0)


class Fed:
    """A run that is fed until something is the case, with what it was fed."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.given = b""
        self._folder = folder
        self._chunks = chunks()

    def until(self, is_so: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 10 * PATIENCE_S  # it takes CPU time
        while not is_so():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until_s, self.said
            self.feed()

    def feed_more(self) -> None:
        for _ in range(10):
            self.feed()

    def feed(self) -> None:
        assert self.process.stdin is not None
        chunk = next(self._chunks)
        self.process.stdin.write(chunk)
        self.given += chunk

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    @property
    def said(self) -> bytes:
        return (self._folder / "stderr").read_bytes()

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def has_grown(self) -> bool:
        return SAID in self.said


@pytest.fixture
def fed(start: Any, folder: Path) -> Any:
    def begin(*arguments: str, **options: Any) -> Fed:
        with open(folder / "stderr", "wb") as stderr, open(folder / "stdout", "wb") as stdout:
            outputs = {"stderr": stderr, "stdout": stdout}
            return Fed(start(*STAGES, *SAYS, *arguments, **outputs, **options), folder)

    return begin


def counts_of(stderr: bytes) -> dict[str, Any]:
    """What does not depend on how it was done."""
    counts = summary(stderr)
    how = ("seconds", "records_per_second", "workers", "restarts", "stages")
    return {k: v for k, v in counts.items() if k not in how} | {
        "calls": [stage["calls"] for stage in counts["stages"].values()]
    }


@pytest.mark.parametrize("order", ["--ordered", "--unordered"])
def test_the_same_comes_out(fed: Any, run: Any, folder: Path, order: str) -> None:
    """Output, dead letters and account are those of one process."""
    more = ("--checkpoint", "cp", "--timeout", "0.001")  # for calls that can be cancelled
    one = fed(order, "--dead-letter", "letters", "-o", "out", "--skip", "7", *more)
    one.until(one.has_grown)
    one.feed_more()
    assert one.end() == 3
    alone = run(*STAGES, *SAYS, "-w", "1", order, "--dead-letter", "letters-1", "-o", "out-1",
                "--skip", "7", stdin=one.given)  # fmt: skip
    assert summary(one.said)["workers"] > 1
    assert summary(alone.stderr)["workers"] == 1
    assert counts_of(one.said) == counts_of(alone.stderr)
    arranged = list if order == "--ordered" else sorted
    for name in ("out", "letters"):
        grown, expected = (folder / name).read_bytes(), (folder / f"{name}-1").read_bytes()
        assert arranged(grown.splitlines(True)) == arranged(expected.splitlines(True))


def test_workers_are_killed(fed: Any, run: Any, folder: Path) -> None:
    """While they start, and later: others do what they had."""
    one = fed()
    one.until(lambda: one.workers != [])
    os.kill(one.workers[0], signal.SIGKILL)
    one.until(one.has_grown)
    one.feed()
    os.kill(one.workers[-1], signal.SIGKILL)
    one.feed_more()
    assert one.end() == 3
    assert summary(one.said)["restarts"] == 2
    alone = run(*STAGES, "-w", "1", stdin=one.given)
    assert (folder / "stdout").read_bytes() == alone.stdout


@pytest.mark.parametrize("when", ["before", "after"])
def test_resumed(fed: Any, run: Any, folder: Path, when: str) -> None:
    """Whoever did the work when it was killed, nothing is lost or there twice."""
    files = ("--checkpoint", "cp", "-o", "out")
    one = fed(*files)
    out = folder / "out"
    one.until(one.has_grown if when == "after" else lambda: out.exists() and out.stat().st_size > 0)
    assert one.has_grown() == (when == "after")
    one.process.kill()
    one.process.wait()
    whole = one.given + b"".join(chunk for chunk, _ in zip(chunks(), range(5), strict=False))
    assert run(*STAGES, *files, "--resume", stdin=whole).returncode == 3
    assert out.read_bytes() == run(*STAGES, "-w", "1", stdin=whole).stdout


@pytest.mark.parametrize("when", ["starting", "at work"])
def test_ctrl_c(fed: Any, run: Any, folder: Path, when: str) -> None:
    """Also to workers that have not begun to listen: one drain, and what was read is written."""
    one = fed(process_group=0)
    one.until(one.has_grown if when == "at work" else lambda: one.workers != [])
    workers = one.workers
    os.killpg(one.process.pid, signal.SIGINT)
    assert one.process.wait(PATIENCE_S) == 130
    counts = summary(one.said)
    assert counts["unprocessed"] == 0
    assert b"Traceback" not in one.said
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    written = (folder / "stdout").read_bytes()
    assert len(records(written)) == counts["received"]
    assert run(*STAGES, "-w", "1", stdin=one.given).stdout.startswith(written)


def test_one_process_when_told(fed: Any) -> None:
    """`-w 1` stays alone for longer than it takes to bring others in."""
    one = fed("-w", "1")
    stat = Path(f"/proc/{one.process.pid}/stat")
    ticks = 2 * os.sysconf("SC_CLK_TCK")
    one.until(lambda: sum(map(int, stat.read_text().split()[13:15])) > ticks)
    assert one.workers == []
    assert one.end() == 3
    assert summary(one.said)["workers"] == 1
    assert not one.has_grown()


def test_small_inputs_do_not_pay(run: Any) -> None:
    """No process is started for what one does at once."""
    done = run("--demo", "--summary", "json", "--log-level", "debug")
    assert summary(done.stderr)["workers"] == 1
    assert SAID not in done.stderr


def test_no_room_for_workers(fed: Any, run: Any, folder: Path) -> None:
    """Whatever is in the way of starting them, one process goes on."""

    one = fed()
    one.until(lambda: (folder / "stdout").stat().st_size > 0)
    files = 1 + max(map(int, os.listdir(f"/proc/{one.process.pid}/fd")))
    resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (files, files))
    one.until(lambda: b"one process goes on alone" in one.said)
    assert one.end() == 3
    assert (folder / "stdout").read_bytes() == run(*STAGES, "-w", "1", stdin=one.given).stdout
