"""Signals to the real command."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S, records, summary

GO = b'{"n":1}\n'


def finish(process: subprocess.Popen[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return records(out), summary(err)


def started(start: Any, stage: str, *arguments: str, lines: bytes = b"") -> subprocess.Popen[bytes]:
    """A process that has written its first record and holds `lines`; its stdin stays open."""
    process = start("-e", stage, "--summary", "json", *arguments)
    process.stdin.write(GO + lines)
    process.stdin.flush()
    assert process.stdout.readline().startswith(b'{"n":1')
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_first_signal_drains(start: Any, number: int, code: int) -> None:
    """What was read is finished and written; a blocked read does not delay the exit."""
    process = started(start, "stages.py:slow", lines=b'{"s":0.5}\n{"s":0.4}\n{"s"')
    process.send_signal(number)
    out, counts = finish(process)
    assert out == [{"s": 0.5, "ok": True}, {"s": 0.4, "ok": True}]
    assert process.returncode == counts["exit_code"] == code
    assert counts["unprocessed"] == 0


def test_second_signal_aborts(start: Any) -> None:
    """What is in flight is cancelled and written as such; finished neighbours are kept."""
    process = started(start, "stages.py:slow", lines=b'{"s":1000}\n{"s":0}\n')
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    (cut, _), counts = finish(process)
    assert cut["_error"]["kind"] == "shutdown"
    assert process.returncode == 75
    assert counts["unprocessed"] >= 1


def test_drain_deadline_with_dead_letters(start: Any, run: Any, folder: Path) -> None:
    """After the deadline the unfinished lines, and a torn one, go to the dead-letter file."""
    process = started(
        start, "stages.py:slow", "--drain-timeout", "0.2", "--dead-letter", "dead",
        lines=b'{"s": 1000}\n{"torn',
    )  # fmt: skip
    process.send_signal(signal.SIGTERM)
    out, counts = finish(process)
    assert (process.returncode, out, counts["unprocessed"]) == (75, [], 1)
    assert run("replay", "dead").stdout == b'{"s": 1000}\n{"torn\n'


@pytest.mark.parametrize("stage", ["stages.py:busy", "stages.py:nap"])
def test_abort_of_a_busy_loop(start: Any, stage: str) -> None:
    """A plain def that keeps the loop busy is interrupted by the second signal."""
    process = started(start, stage, lines=b'{"hang":1,"s":1000}\n{"n":3}\n')
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, counts = finish(process)
    assert process.returncode == 75
    assert [r["_error"]["kind"] for r in out] == ["shutdown", "shutdown"]
    assert counts["unprocessed"] == 2


def test_third_signal_leaves(start: Any) -> None:
    """Code that ignores its cancellation cannot hold up the third signal."""
    process = started(start, "stages.py:stubborn", lines=b'{"hang":1}\n')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert process.wait(PATIENCE_S) == 75


def test_ignored_signals_stay_ignored(start: Any) -> None:
    """Under nohup a hang-up changes nothing."""
    process = start(
        "-e", "stages.py:slow", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    process.stdin.write(GO)
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.stdin.write(b'{"n":2}\n')
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (out, process.returncode) == (b'{"n":2,"ok":true}\n', 0)


def test_stop_and_continue(start: Any) -> None:
    """Time spent stopped counts for no timeout."""
    process = started(start, "stages.py:slow", "--timeout", "2", lines=b'{"s":1}\n')
    process.send_signal(signal.SIGSTOP)
    subprocess.run(["sleep", "3"], check=True)
    process.send_signal(signal.SIGCONT)
    out, counts = finish(process)
    assert out == [{"s": 1, "ok": True}]
    assert counts["failed"] == 0


def test_consumer_dies_of_the_same_signal(start: Any, run: Any, folder: Path) -> None:
    """What the dead consumer did not take is accounted for, and in the dead-letter file."""
    process = started(
        start, "stages.py:slow", "--dead-letter", "dead", lines=b'{"s":0.3}\n{"s":0.2}\n'
    )
    process.stdout.close()
    process.stdout = None
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.stdin = None
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 141
    assert summary(err)["unprocessed"] == 2
    assert run("replay", "dead").stdout == b'{"s":0.3}\n{"s":0.2}\n'


def test_named_pipe_without_a_writer(start: Any, folder: Path) -> None:
    """Opening a pipe that nobody writes waits, and a signal ends the wait."""
    os.mkfifo(folder / "pipe")
    (folder / "warm.py").write_text("open('imported', 'w').close()\ndef f(record): ...\n")
    process = start("-e", "warm.py:f", "pipe")
    while not (folder / "imported").exists():
        os.sched_yield()
    process.send_signal(signal.SIGINT)  # at whatever it is by now, opening included
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, b"")


def test_lifecycle_is_left_on_a_signal(start: Any, folder: Path) -> None:
    """A class that was entered is left, on Ctrl-C too."""
    process = started(start, "stages.py:Life", lines=b'{"s":1000}\n')
    assert (folder / "entered").exists()
    assert not (folder / "left").exists()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert (folder / "left").exists()
