"""`--workers`: as without, and whatever dies, nothing is lost or written twice."""

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

from tests.conftest import PATIENCE_S, records, summary

pytestmark = pytest.mark.forked
looks_at_workers = pytest.mark.forked(workers="started")

STAGES = """
import asyncio, os, signal, time

def crash(record):
    if record["n"] == 70:
        os.kill(os.getpid(), signal.SIGSEGV)
    if record["n"] == 90:
        os._exit(3)
    return {"ok": True}

async def crash_later(record):
    await asyncio.sleep(0.001)
    return crash(record)

def hang(record):
    while record["n"] == 70:
        pass
    return {"ok": True}

def die(record):
    os._exit(9)

def pid(record):
    time.sleep(0.002)
    return {"pid": os.getpid()}

async def slow(record):
    await asyncio.sleep(record.get("s", 0))
    return {"ok": True}

def forking(record):
    if not os.path.exists("forked"):
        open("forked", "w").close()
        if os.fork() == 0:  # as a process pool does; it keeps open what the worker has open
            while not os.path.exists("over"):
                time.sleep(0.01)
            os._exit(0)
    return pid(record)

async def unavailable(record):
    from streamproc.errors import UnavailableError
    if record["n"] == 70:
        raise UnavailableError("gone for good")

class Broken:
    async def __aenter__(self):
        raise RuntimeError("no model here")
    def __call__(self, record):
        return None
"""
INPUT = b"".join(b'{"n":%d}\n' % n for n in range(200))
WORKERS = ("-w", "2", "--log-level", "error")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages.py").write_text(STAGES)
    return tmp_path


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@looks_at_workers
def test_all_of_them_work(run: Any) -> None:
    """The work is shared; the order is that of the input."""
    done = run(*WORKERS, "-e", "stages.py:pid", "--summary", "json", stdin=INPUT)
    out = records(done.stdout)
    assert [each["n"] for each in out] == list(range(200))
    assert len({each["pid"] for each in out}) == 2
    assert summary(done.stderr)["ok"] == 200


@pytest.mark.parametrize("arguments", [("-e", "leads"), ("-e", "none"), ("-e", "stages.py:slow")])
@pytest.mark.parametrize("mode", ["annotate", "dead-letter"])
def test_the_same_as_without(run: Any, arguments: tuple[str, ...], mode: str, folder: Path) -> None:
    """Good, bad, blank, odd and too long lines: every byte, and every count."""
    text = (
        b'\xef\xbb\xbf{"n":1}\n\n  \n{"n": 2 }\r\n[]\n{"n":\xff}\nnonsense\n'
        b'{"n":3,"_error":{"kind":"x"}}\n{"email":"a@b.example","n":12345678901234567890123}\n'
        + b'{"pad":"'
        + b"x" * 3000
        + b'"}\n{"n":"\xe2\x80\xa8"}\n{"last":true}'
    )
    found = []
    for more in ((), WORKERS):
        letters = ("--on-error", mode, "--dead-letter", "dead") if mode == "dead-letter" else ()
        done = run(*arguments, *letters, *more, "--max-line-bytes", "2000", "--summary", "json",
                   stdin=text)  # fmt: skip
        counts = summary(done.stderr)
        dead = (folder / "dead").read_bytes() if letters else b""
        if letters:
            (folder / "dead").unlink()
        for name in ("seconds", "records_per_second", "stages", "workers", "restarts"):
            counts.pop(name, None)
        found.append((done.returncode, done.stdout, dead, counts))
    assert found[0] == found[1]


@pytest.mark.parametrize("stage", ["crash", "crash_later"])
def test_a_record_that_kills_its_worker(run: Any, stage: str) -> None:
    """It is found and fails; all others are done once."""
    done = run(*WORKERS, "-e", f"stages.py:{stage}", stdin=INPUT)
    assert done.returncode == 3
    out = records(done.stdout)
    assert [each["n"] for each in out] == list(range(200))
    assert {each["n"]: each["_error"]["kind"] for each in out if "_error" in each} == {
        70: "worker_crash",
        90: "worker_crash",
    }
    assert "SIGSEGV" in next(each["_error"]["message"] for each in out if each["n"] == 70)


def test_a_plain_def_that_hangs(run: Any) -> None:
    """It is killed with its worker after the timeout."""
    done = run(*WORKERS, "--timeout", "2", "-e", "stages.py:hang", stdin=INPUT)
    out = records(done.stdout)
    assert [each["n"] for each in out] == list(range(200))
    [error] = [each["_error"] for each in out if "_error" in each]
    assert (error["kind"], error["line"]) == ("timeout", 71)


def test_too_many_deaths(run: Any, folder: Path) -> None:
    """Exit 70, and the checkpoint is one that the run goes on from."""
    arguments = ("--checkpoint", "cp", "-o", "out")
    done = run("-w", "2", "--max-restarts", "3", "-e", "stages.py:die", *arguments, stdin=INPUT)
    assert done.returncode == 70
    assert b"--max-restarts is 3" in done.stderr
    done = run("-w", "2", "-e", "stages.py:slow", *arguments, "--resume-force", stdin=INPUT)
    assert done.returncode == 0
    assert len(records((folder / "out").read_bytes())) == 200


@looks_at_workers
def test_a_stage_that_cannot_be_entered(run: Any) -> None:
    """Said once, as without workers, and nothing is read."""
    done = run("-w", "2", "-e", "stages.py:Broken", stdin=INPUT)
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"no model here" in done.stderr


@looks_at_workers
def test_a_worker_is_killed(start: Any) -> None:
    """Whatever it had is done by others, and the run does not say that it failed."""
    process = start(*WORKERS, "-e", "stages.py:pid", "--summary", "json")
    process.stdin.write(INPUT * 4)
    assert process.stdout.readline()
    os.kill(children(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate()
    assert [each["n"] for each in records(out)] == [*range(1, 200), *list(range(200)) * 3]
    assert (process.returncode, summary(err)["failed"]) == (0, 0)
    assert summary(err)["restarts"] == 1


@looks_at_workers
@pytest.mark.parametrize("stage", ["slow", "hang"])
def test_no_orphans(start: Any, stage: str) -> None:
    """If the parent dies, the workers end, whatever they are doing."""
    process = start(*WORKERS, "-e", f"stages.py:{stage}")
    process.stdin.write(b'{"n":1}\n')
    assert process.stdout.readline()
    process.stdin.write(b'{"n":70,"s":1000}\n' * 2)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(is_alive, workers))


@looks_at_workers
@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_to_all_of_them(start: Any, signals: int) -> None:
    """Ctrl-C reaches parent and workers together: one drain, one summary, one exit code."""
    process = start(*WORKERS, "-e", "stages.py:slow", "--summary", "json", process_group=0)
    rest = b'{"n":2,"s":%d}\n{"n":3}\n' % (1000 if signals == 2 else 1)
    process.stdin.write(b'{"n":1}\n' + rest)  # read at once
    assert process.stdout.readline()
    for number in (signal.SIGINT, signal.SIGTERM)[:signals]:
        os.killpg(process.pid, number)
    out, err = process.communicate()
    counts = summary(err)
    assert process.returncode == counts["exit_code"] == (130 if signals == 1 else 75)
    assert counts["received"] == counts["ok"] + counts["unprocessed"]
    assert all("_error" not in each for each in records(out)) == (signals == 1)


def test_limits_are_shared_out(run: Any, folder: Path) -> None:
    """`check` says how, and what cannot be shared is refused."""
    (folder / "p.toml").write_text(
        'workers = 2\nconcurrency = 10\n[[stage]]\nname = "a"\nrate = "100/s"\n'
        'http = { url = "http://127.0.0.1:9/{n}" }\n'
    )
    done = run("check", "-c", "p.toml")
    assert b"2 workers, each with concurrency 5 of 10" in done.stdout
    assert b"a rate of 50/s" in done.stdout
    done = run("-w", "4", "-j", "3", "-e", "none", stdin=INPUT)
    assert done.returncode == 78
    assert b"3 cannot be shared by 4 workers" in done.stderr


def test_counts_come_from_all_of_them(run: Any, folder: Path) -> None:
    """Calls, retries and percentiles are those of every worker together."""
    (folder / "p.toml").write_text(
        '[[stage]]\nname = "a"\nretry = { attempts = 2, base = 0.001 }\npython = "stages.py:slow"\n'
    )
    done = run("-w", "2", "-c", "p.toml", "--summary", "json", stdin=INPUT)
    counts = json.loads(done.stderr.splitlines()[-1])
    assert counts["requests"] == counts["stages"]["a"]["requests"] == 200
    assert counts["workers"] == 2


def test_a_function_that_cannot_be_imported(folder: Path) -> None:
    """Other processes have to find it: said before any is started."""
    script = (
        "import asyncio\nfrom streamproc import Pipeline\nfrom streamproc.testing import *\n"
        "def mine(record):\n    return {}\n"
        "asyncio.run(Pipeline([mine], workers=2).run(MemorySource([{}]), MemorySink()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, check=False
    )
    assert b"has to be importable" in done.stderr


@looks_at_workers
def test_what_a_stage_forks_does_not_hide_a_death(start: Any, folder: Path) -> None:
    """The death is seen though the worker's wire stays open, and so is the end of the run."""
    (folder / "in").write_bytes(INPUT * 5)
    with open(folder / "stderr", "wb") as stderr:
        process = start(*WORKERS, "-e", "stages.py:forking", "-o", "out", "in", stderr=stderr)
    try:
        while not (folder / "forked").exists():
            assert process.poll() is None
        time.sleep(0.05)
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
        assert process.wait(PATIENCE_S) == 0
        assert len(records((folder / "out").read_bytes())) == 1000
    finally:
        (folder / "over").touch()


def test_a_fatal_end_has_an_account(run: Any) -> None:
    """Whatever worker ends the run, what became of each record is said, and why, once."""
    done = run(*WORKERS, "-e", "stages.py:unavailable", "--summary", "json", stdin=INPUT)
    assert done.returncode == 69
    assert done.stderr.count(b"gone for good") == 1
    assert summary(done.stderr)["exit_code"] == 69
