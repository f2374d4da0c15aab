"""The real command, in real processes."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.forked import Forked, Server
from tests.scheduling import Shared, turn

COMMAND = [sys.executable, "-m", "streamproc"]
ALONE = "TEST_IN_A_PROCESS_OF_ITS_OWN"
PATIENCE_S = 60  # a hang fails; nothing is expected to take a share of this
# why a test was skipped, before what is missing
NO_BROKER = "for a broker, install "
NO_BROWSER = "for a browser, install "
NO_PROMTOOL = "for promtool, install "
NO_TMUX = "for tmux, install "
ROOT = Path(__file__).parent.parent
PROGRAM = f'#!/bin/sh\nexec {sys.executable} -m streamproc "$@"\n'
SCORING = """
async def score(record):
    return {"score": 1}
"""

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


# no verdict depends on how busy the machine is, and CI tries what it tried
settings.register_profile(
    "streamproc",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("streamproc")

# each command that is started would compile the whole package anew: half of what a start takes
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# each client would read all authorities that this machine trusts; those of the tests are named
os.environ["SSL_CERT_FILE"] = os.devnull

# a test run under nohup, or behind &, would hand that on to the processes tested with signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """`alone`: what is measured depends on nothing that other tests left in the process."""
    if pyfuncitem.get_closest_marker("alone") is None or ALONE in os.environ:
        return None
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "pytest", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", pyfuncitem.nodeid], cwd=pyfuncitem.config.rootpath,
        env=os.environ | {ALONE: "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What pytest holds of all the tests lives to the end: no need to look through it."""
    gc.disable()
    found = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shared:
    config.option.loadscopereorder = False
    return Shared(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not run, and what to install; from reports, for workers have no terminal."""
    for title, what, why in (
        ("Kafka", "a real broker", NO_BROKER),
        ("The page", "a browser", NO_BROWSER),
        ("Prometheus", "promtool", NO_PROMTOOL),
        ("The terminal", "tmux", NO_TMUX),
    ):
        skipped: dict[str, list[str]] = {}
        for report in terminalreporter.getreports("skipped"):
            _, is_one, needed = report.longrepr[2].partition(why)
            if is_one:
                skipped.setdefault(needed, []).append(report.nodeid)
        for needed, names in skipped.items():
            terminalreporter.section(title)
            terminalreporter.write_line(f"{len(names)} tests need {what} and were not run:")
            for name in names:
                terminalreporter.write_line(f"  {name}")
            terminalreporter.write_line(f"To run them, install {needed}.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `stages.py` in it, to run the command in."""
    (tmp_path / "stages.py").write_text(STAGES)
    return tmp_path


@pytest.fixture(scope="session")
def imported() -> Iterator[Server]:
    server = Server(environment({}))
    yield server
    server.close()


@pytest.fixture
def process_of(request: pytest.FixtureRequest) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a command: as its users do, or as a fork where the test is marked `forked`."""
    marker = request.node.get_closest_marker("forked")
    if marker is None or sys.platform != "linux":
        return subprocess.Popen
    return partial(Forked, request.getfixturevalue("imported"), **marker.kwargs)


@pytest.fixture
def start(process_of: Callable[..., subprocess.Popen[bytes]], folder: Path) -> Any:
    """Start the command in `folder`; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start_command(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        settings = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "cwd": folder} | options
        settings["env"] = environment(settings.get("env", {}))
        # unbuffered: communicate() would not see what a buffer has read ahead
        process = process_of([*COMMAND, *arguments], bufsize=0, **settings)
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
def run(
    process_of: Callable[..., subprocess.Popen[bytes]], folder: Path
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command in `folder` to its end."""

    def run_command(
        *arguments: str, stdin: bytes = b"", **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        settings: dict[str, Any] = {"cwd": folder} | options
        settings["env"] = environment(settings.get("env", {}))
        if settings.pop("capture_output", True):
            settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        given = None if "stdin_file" in settings else stdin
        settings["stdin"] = settings.pop("stdin_file", subprocess.PIPE)
        with process_of([*COMMAND, *arguments], **settings) as process:
            try:
                stdout, stderr = process.communicate(given, PATIENCE_S)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run_command


@pytest.fixture
def shell(folder: Path) -> Any:
    """Runs a line that was copied, in a folder with some leads and a scoring.py."""
    (folder / "bin").mkdir()
    (folder / "bin" / "streamproc").write_text(PROGRAM)
    (folder / "bin" / "streamproc").chmod(0o755)
    (folder / "leads.jsonl").write_bytes((ROOT / "streamproc/data/leads.jsonl").read_bytes())
    (folder / "scoring.py").write_text(SCORING)

    def run_line(line: str) -> subprocess.CompletedProcess[bytes]:
        path = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "API_KEY": "x"}
        return subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment(path), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    return run_line


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The demo server, as its users start it."""
    command = [sys.executable, "-m", "benchmarks.demo_server", "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[3].rstrip(",")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def environment(extra: dict[str, str]) -> dict[str, str]:
    here = str(Path(__file__).parent.parent)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STREAMPROC_")}
    # outputs of two runs are compared: an id of its own would tell them apart
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


def install_other(folder: Path, group: str, name: str, value: str) -> None:
    """A distribution with that entry point, for who has `folder` in its PYTHONPATH."""
    info = folder / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
