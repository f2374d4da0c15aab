"""The real command, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# a machine that is busy with something else is no failure
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

COMMAND = [sys.executable, "-m", "streamproc"]
PATIENCE_S = 60  # a hang fails; nothing is expected to take a share of this

STAGES = """
import asyncio, itertools, json, os, sys, time
import streamproc

async def slow(record):
    await asyncio.sleep(record.get("s", 0))
    return {"ok": True}

def plain(record):
    return {"ok": True}

def nap(record):
    time.sleep(record.get("s", 0))
    return {"ok": True}

def busy(record):
    while record.get("hang"):
        pass
    return {"ok": True}

async def stubborn(record):
    while record.get("hang"):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            pass
    return {"ok": True}

async def seen(record):
    with open("seen", "a") as file:
        file.write(".")
    await asyncio.sleep(record.get("s", 0))
    return None

def noisy(record):
    print("noise")
    os.system("echo noise; cat")
    return {"stdin": sys.stdin.read()}

class Life:
    async def __aenter__(self):
        open("entered", "w").close()
        return self
    async def __aexit__(self, *error):
        open("left", "w").close()
    async def __call__(self, record):
        await asyncio.sleep(record.get("s", 0))
        return {"ok": True}
"""


# a test run under nohup would hand that on to the processes that are tested with signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `stages.py` in it, to run the command in."""
    (tmp_path / "stages.py").write_text(STAGES)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Any:
    """Start the command in `folder`; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start_command(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        settings = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "cwd": folder} | options
        settings["env"] = environment(settings.get("env", {}))
        # unbuffered: communicate() would not see what a buffer has read ahead
        process = subprocess.Popen([*COMMAND, *arguments], bufsize=0, **settings)
        started.append(process)
        return process

    yield start_command
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


@pytest.fixture
def run(folder: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command in `folder` to its end."""

    def run_command(
        *arguments: str, stdin: bytes = b"", **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        settings: dict[str, Any] = {"capture_output": True, "cwd": folder} | options
        settings["env"] = environment(settings.get("env", {}))
        if "stdin_file" in settings:
            settings["stdin"] = settings.pop("stdin_file")
        else:
            settings["input"] = stdin
        return subprocess.run([*COMMAND, *arguments], timeout=PATIENCE_S, check=False, **settings)

    return run_command


def environment(extra: dict[str, str]) -> dict[str, str]:
    here = str(Path(__file__).parent.parent)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STREAMPROC_")}
    return inherited | {"PYTHONPATH": here} | extra


def summary(stderr: bytes) -> dict[str, Any]:
    """The last line of `--summary json`, whose numbers have to add up."""
    counts: dict[str, Any] = json.loads(stderr.splitlines()[-1])
    places = ["ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed"]
    assert counts["received"] == sum(counts[place] for place in places)
    return counts


def records(stdout: bytes) -> list[dict[str, Any]]:
    """The lines of stdout, each of which has to be JSON."""
    assert stdout == b"" or stdout.endswith(b"\n")
    return [json.loads(line) for line in stdout.split(b"\n")[:-1]]
