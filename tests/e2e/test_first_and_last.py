"""Moments at the edge of a run: before its first checkpoint, and after its last record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S, environment, records, summary

STAGES = """
import asyncio, os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

class Gate:
    async def __aenter__(self):
        Path("entering").touch()
        while not Path("go").exists():
            await asyncio.sleep(0.01)
        return self
    async def __aexit__(self, *error): pass
    async def __call__(self, record):
        return {"ok": True}

class Broken:
    async def __aenter__(self):
        raise RuntimeError("no model here")
    async def __call__(self, record): pass

class Pool:
    async def __aenter__(self):
        self.pool = ProcessPoolExecutor(1, get_context("fork"))
        Path("child").write_text(str(self.pool.submit(os.getpid).result()))
        return self
    async def __aexit__(self, *error):
        self.pool.shutdown()
    async def __call__(self, record):
        return {"ok": True}

class Leaving:
    async def __aenter__(self): return self
    async def __aexit__(self, *error):
        Path("leaving").touch()
        await asyncio.sleep(2.5)  # the alarm of a second signal comes after 1 s
        Path("left").touch()
    async def __call__(self, record):
        return {"ok": True}

class Unleavable:
    async def __aenter__(self): return self
    async def __aexit__(self, *error):
        raise RuntimeError("cannot say goodbye")
    async def __call__(self, record):
        return {"ok": True}

async def held(record):
    while record["n"] == 1 and not Path("go").exists():
        await asyncio.sleep(0.01)
    return {"ok": True}
"""
INPUT = b"".join(b'{"n":%d}\n' % n for n in range(20))
CHECKPOINT = ("--checkpoint", "cp", "--resume", "-o", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "in").write_bytes(INPUT)
    return tmp_path


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)


def test_two_at_once_on_a_first_start(start: Any, run: Any, folder: Path) -> None:
    """The second one is refused while the stages of the first are still being entered."""
    first = start("-e", "stages.py:Gate", *CHECKPOINT, "in")
    wait_for(folder / "entering", first)
    second = run("-e", "stages.py:Gate", *CHECKPOINT, "in")
    assert (second.returncode, b"in use" in second.stderr) == (73, True)
    (folder / "go").touch()
    assert first.wait(PATIENCE_S) == 0
    assert len(records((folder / "out").read_bytes())) == 20


def test_a_start_that_fails_leaves_no_checkpoint(run: Any, folder: Path) -> None:
    """Nothing was begun, so there is nothing to go on with, and nothing in the way."""
    assert run("-e", "stages.py:Broken", *CHECKPOINT, "in").returncode == 78
    assert not list(folder.glob("cp*"))


def test_what_a_stage_forks_does_not_keep_the_checkpoint(
    start: Any, run: Any, folder: Path
) -> None:
    """After a kill -9 the next run goes on, whoever of the old one's children still lives."""
    process = start("-e", "stages.py:Pool", *CHECKPOINT)
    process.stdin.write(b'{"n":0}\n')
    wait_for(folder / "out", process)
    process.kill()
    process.wait()
    child = int((folder / "child").read_text())
    try:
        os.kill(child, 0)
        done = run("-e", "stages.py:Pool", *CHECKPOINT, stdin=INPUT)
        assert (done.returncode, done.stderr) == (0, b"")
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_second_signal_while_a_class_is_left(start: Any, folder: Path) -> None:
    """It is left all the same, and nothing but the account is said."""
    process = start("-e", "stages.py:Leaving", "--summary", "json")
    process.stdin.write(b'{"n":1}\n')
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    wait_for(folder / "leaving", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err.count(b"\n"), summary(err)["ok"]) == (130, 1, 1)
    assert (folder / "left").exists()


@pytest.mark.parametrize("workers", [(), ("-w", "2")])
def test_a_class_that_cannot_be_left(workers: tuple[str, ...], run: Any) -> None:
    """With workers too, the account comes after the message."""
    done = run("-e", "stages.py:Unleavable", "--summary", "json", *workers, stdin=INPUT)
    assert len(records(done.stdout)) == 20
    assert done.returncode == 78
    assert b"cannot say goodbye" in done.stderr
    assert summary(done.stderr)["ok"] == 20


@pytest.mark.parametrize("order", ["--ordered", "--unordered"])
def test_too_long_lines_are_no_blank_ones(order: str, start: Any, run: Any, folder: Path) -> None:
    """Neither when a run is cut off before it could write them, nor when they were done before."""
    (folder / "in").write_bytes(b'{"n":1}\n{"n":"' + b"x" * 99 + b'"}\n\n{"n":2}\n')
    arguments = ("-e", "stages.py:held", *CHECKPOINT, "--max-line-bytes", "50", order,
                 "--summary", "json")  # fmt: skip
    process = start(*arguments, "in")
    if order == "--unordered":
        while b"too_long" not in (folder / "out").read_bytes() if (folder / "out").exists() else 1:
            assert process.poll() is None
            time.sleep(0.005)
    else:
        wait_for(folder / "out", process)
        time.sleep(0.3)  # passes in any case; nothing tells from outside that all is read
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # two alike may arrive as one
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 75
    assert (summary(err)["received"], summary(err)["blank"]) == (3, 1)
    (folder / "go").touch()
    counts = summary(run(*arguments, "in").stderr)
    assert (counts["received"], counts["blank"]) == (3, 1)


def test_attempts_are_those_of_the_record(run: Any, folder: Path) -> None:
    """However many records a consumer has had before, and stages the record."""
    (folder / "two.py").write_text(
        "async def good(record):\n    return {}\nasync def bad(record):\n    raise ValueError\n"
        "def plain(record):\n    raise ValueError\n"
    )
    for last in ("bad", "plain"):
        done = run("-e", "two.py:good", "-e", f"two.py:{last}", "-j", "1", stdin=INPUT)
        assert {each["_error"]["attempts"] for each in records(done.stdout)} == {1}


def test_a_signal_during_the_first_checkpoint(folder: Path) -> None:
    """It is written to its end, or not at all: nothing is closed while it is being written."""
    code = (
        "import os, signal, sys, time\n"
        "from streamproc.checkpoint import entry\n"
        "whole = os.fsync\n"
        "def slow(fd):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.5)\n"
        "    whole(fd)\n"
        "os.fsync = slow\n"
        "from streamproc.cli.main import main\n"
        "sys.argv = ['streamproc', '-e', 'none', '--checkpoint', 'cp', '-o', 'out', 'in']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment({}),
                          capture_output=True, timeout=PATIENCE_S, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (143, b"")
    assert json.loads((folder / "cp").read_bytes().splitlines()[-1])["progress"]["lines"] == 0
