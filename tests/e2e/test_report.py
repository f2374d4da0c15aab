"""`--report`: what it says of a run, whatever the run's end, and what it never writes over."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import summary

pytestmark = pytest.mark.forked
RAISES = """
import asyncio

def raises(record):
    if record["n"] % 2:
        raise ValueError("</script><script>alert(1)</script>")
    return {"ok": True}

async def waits(record):
    await asyncio.sleep(record.get("s", 0))
    return {"ok": True}
"""
SLOW = """\
import asyncio

async def waits(record):
    await asyncio.sleep({50: 2.0, 250: 1.0}.get(record["n"], 0))
    return {"ok": True}
"""
LINES = b'{"n":0}\n{"n":1,"x":"</script>"}\n{"n":2}\n{"n":3}\n'


@pytest.fixture(autouse=True)
def raising(folder: Path) -> None:
    (folder / "raising.py").write_text(RAISES)


def data_of(path: Path) -> Any:
    """What the script of the report gets."""
    html = path.read_text()
    assert html.startswith("<!doctype html>")
    assert "{{" not in html.replace('"{{', "")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", html) == []
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    return json.loads(data)


def test_what_it_says(run: Any, folder: Path) -> None:
    """The account is that of the summary; and how long, what failed, where, of which pipeline."""
    stages = ("-e", "raises=raising.py:raises", "-e", "waits=raising.py:waits")
    done = run(*stages, "--report", "run.html", "--summary", "json", stdin=LINES)
    assert done.returncode == 3
    data, counts = data_of(folder / "run.html"), summary(done.stderr)
    for name in ("received", "ok", "failed", "exit_code"):
        assert data["summary"][name] == counts[name]
    assert data["figures"]["state"] == "ended"
    assert data["history"][-1][1:4] == [4, 4, 2]
    assert sum(count for _, count in data["histograms"]["waits"]) == 2
    (group,) = data["groups"]
    assert (group["count"], group["kind"], group["where"]) == (2, "exception", "<stdin>:2, 4")
    assert data["figures"]["examples"][0]["record"] == '{"n":1,"x":"</script>"}'
    assert 'python = "raising.py:raises"' in data["pipeline"]
    assert {"streamproc", "Python", "on"} <= data["versions"].keys()
    assert (folder / "run.html").stat().st_mode & 0o777 == 0o600


def test_with_workers(run: Any, folder: Path) -> None:
    """It is of all of them."""
    stages = ("-e", "waits=raising.py:waits", "-w", "2")
    assert run(*stages, "--report", "run.html", stdin=b'{"n":1}\n' * 500).returncode == 0
    data = data_of(folder / "run.html")
    assert data["summary"]["ok"] == 500
    assert data["summary"]["stages"]["waits"]["calls"] == 500
    assert 0 < sum(count for _, count in data["histograms"]["waits"]) <= 500


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_slowest_records(run: Any, folder: Path, workers: str) -> None:
    """Ten of those that a stage with policies waited for, from the slowest, by their ids."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "in.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(300)))
    stage = ("-e", "waits=slow.py:waits", "--retries", "1", "-w", workers)
    assert run("in.jsonl", *stage, "--report", "run.html").returncode == 0
    slowest = data_of(folder / "run.html")["figures"]["slowest"]
    assert [(stage, record) for _, stage, record in slowest[:2]] == [
        ("waits", "in.jsonl:51"), ("waits", "in.jsonl:251"),
    ]  # fmt: skip
    assert len(slowest) == 10
    assert [took for took, _, _ in slowest] == sorted(
        (took for took, _, _ in slowest), reverse=True
    )
    assert slowest[0][0] >= 2.0


def test_no_secrets(run: Any, folder: Path) -> None:
    """Neither those of the file nor those of the environment."""
    (folder / "p.toml").write_text(
        'report = "run.html"\n[[stage]]\nname = "s"\nretry = false\nbreaker = false\n'
        '[stage.http]\nurl = "http://127.0.0.1:1/?key=secret-in-the-url&x=${PLACE}"\n'
        'headers = { Authorization = "Bearer secret-in-the-file", Other = "${TOKEN}" }\n'
    )
    env = {"TOKEN": "secret-of-the-environment", "PLACE": "secret-place"}
    assert run("-c", "p.toml", env=env, stdin=LINES).returncode == 3
    assert "connect" in data_of(folder / "run.html")["groups"][0]["kind"]
    assert "secret-" not in (folder / "run.html").read_text()


def test_a_run_that_is_aborted(start: Any, folder: Path) -> None:
    """Has one as well, with what it did not process."""
    process = start("-e", "waits=raising.py:waits", "--report", "run.html", "--unordered")
    process.stdin.write(b'{"n":1}\n{"n":2,"s":600}\n')
    assert b'"ok":true' in process.stdout.readline()
    for number in (signal.SIGTERM, signal.SIGINT):  # two alike may arrive as one
        process.send_signal(number)
    assert process.wait() == 75
    data = data_of(folder / "run.html")
    assert (data["summary"]["ok"], data["summary"]["unprocessed"]) == (1, 1)


@pytest.mark.parametrize("name", ["no-such-folder/run.html", "folder", "pipe"])
def test_one_that_cannot_be_written(run: Any, folder: Path, name: str) -> None:
    """Is told at the start, and nothing else is written."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "out").write_text("kept")
    done = run("-e", "none", "--report", name, "-o", "out", stdin=LINES)
    assert (done.returncode, (folder / "out").read_text()) == (73, "kept")
    assert f"report: cannot create {name}: ".encode() in done.stderr


def test_a_disk_that_is_full(run: Any) -> None:
    """Is known at the end only: the records are there, and the exit code says it."""
    done = run("-e", "none", "--report", "/dev/full", stdin=LINES)
    assert (done.returncode, done.stdout) == (74, LINES)
    assert b"/dev/full: No space left on device" in done.stderr


def test_a_run_that_does_not_begin(run: Any, folder: Path) -> None:
    """Leaves no empty report, and the last one as it was."""
    (folder / "old.html").write_text("old")
    for name in ("new.html", "old.html"):
        assert run("-e", "none", "--report", name, "-o", "no/out", stdin=LINES).returncode == 73
    assert not (folder / "new.html").exists()
    assert (folder / "old.html").read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "other"),
    [
        (("x.jsonl",), "an input"),
        (("-o", "x.jsonl"), "the output"),
        (("--dead-letter", "x.jsonl", "--on-error", "dead-letter"), "the dead-letter file"),
        (("--checkpoint", "x.jsonl", "x.toml"), "the checkpoint"),
        (("-c", "x.jsonl"), "the pipeline file"),
    ],
)
def test_what_it_is_not(run: Any, folder: Path, arguments: tuple[str, ...], other: str) -> None:
    """Another file of the run."""
    (folder / "x.jsonl").write_text("")
    (folder / "link").symlink_to("x.jsonl")
    for name in ("x.jsonl", "./x.jsonl", "link"):
        done = run("-e", "none", "--report", name, *arguments)
        assert done.returncode == 2
        assert b" is both " in done.stderr
        assert other.encode() in done.stderr
    assert (folder / "x.jsonl").read_text() == ""
