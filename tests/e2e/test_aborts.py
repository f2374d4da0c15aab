"""Runs that are cut short: whatever was read is written or accounted for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S, records, summary

pytestmark = pytest.mark.forked

GO = b'{"n":0}\n'

THREADS = """
import time
from pathlib import Path
import streamproc

@streamproc.enricher(blocking=True)
def block(record):
    Path(f"begun-{record['n']}").touch()
    while record.get("hang"):
        time.sleep(0.01)

@streamproc.enricher(batch=50, wait_s=0.2)
async def gather(records):
    import asyncio
    await asyncio.sleep(max(r.get("s", 0) for r in records))
    return [{"of": len(records)} for _ in records]
"""


def started(start: Any, *arguments: str, lines: bytes, **options: Any) -> subprocess.Popen[bytes]:
    """A process that has written the record 0 and read `lines`; its stdin stays open."""
    process = start("--summary", "json", *arguments, **options)
    process.stdin.write(GO + lines)  # one write and one read: when the first is out, all are in
    assert process.stdout.readline().startswith(b'{"n":0')
    return process


def until(happened: Callable[[], bool]) -> None:
    """Wait for a sign of a stage."""
    patience = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < patience, "it hangs"
        time.sleep(0.001)


def numbers(out: bytes) -> list[int]:
    return [r["n"] for r in records(out)]


@pytest.mark.parametrize("signals", [1, 2])
def test_lines_around_a_too_long_one(start: Any, folder: Path, signals: int) -> None:
    """What one read brought is accounted for, also what waits for room behind a stuck head."""
    head = b'{"n":1,"s":%s}\n' % (b"1" if signals == 1 else b"1000")
    process = start(
        "-e", "stages.py:seen", "-j", "4", "--max-line-bytes", "1000", "--summary", "json"
    )
    process.stdin.write(head + b"{}\n" * 1023 + b"x" * 2000 + b'\n{"n":"last"}\n')
    until(lambda: (folder / "seen").exists() and (folder / "seen").stat().st_size == 1024)
    for number in [signal.SIGINT, signal.SIGTERM][:signals]:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    counts, written = summary(err), records(out)
    assert process.returncode == (130 if signals == 1 else 75)
    assert counts["received"] == len(written) == 1024 + 2
    assert written[-2]["_error"]["kind"] == "too_long"
    assert written[-1]["n"] == "last"
    kinds = [written[i].get("_error", {}).get("kind") for i in (0, -1)]
    assert kinds == ([None, None] if signals == 1 else ["shutdown", "shutdown"])


@pytest.mark.parametrize("mode", ["drop", "stop"])
def test_abort_says_what_is_lost(start: Any, mode: str) -> None:
    """Without a place for them, stderr says how many records are unprocessed, from where."""
    process = started(
        start, "-e", "stages.py:slow", "--on-error", mode, lines=b'\n{"n":1,"s":1000}\n'
    )
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 75
    assert summary(err)["unprocessed"] == 1
    if mode == "drop":
        assert out == b""
        assert b"streamproc: 1 record unprocessed, from line 3 of <stdin>\n" in err
    else:  # stop annotates
        assert records(out)[0]["_error"]["kind"] == "shutdown"


@pytest.mark.parametrize("order", ["--ordered", "--unordered"])
def test_drain_deadline_annotates(start: Any, order: str) -> None:
    """After the drain timeout what is unfinished is annotated, each record once."""
    lines = b"".join(b'{"n":%d,"s":%d}\n' % (n, 1000 * (n % 2)) for n in range(1, 40))
    process = started(
        start, "-e", "stages.py:slow", order, "--drain-timeout", "0.3", lines=lines + b'{"n":40}\n'
    )
    first = process.stdout.readline() if order == "--unordered" else b""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    written, counts = records(first + out), summary(err)
    assert process.returncode == 75
    assert counts["received"] == 1 + len(written)
    cut = [r["n"] for r in written if "_error" in r]
    assert counts["unprocessed"] == len(cut)
    assert all(n % 2 for n in cut)
    assert sorted(r["n"] for r in written) == list(range(1, 1 + len(written)))
    assert order == "--unordered" or numbers(out) == sorted(numbers(out))


def test_abort_with_threads(start: Any, folder: Path) -> None:
    """Threads that never come back hold up neither the abort nor the exit.

    One has outlived its timeout; the other one has none, so that it is at work at the signals.
    """
    (folder / "threads.py").write_text(THREADS)
    (folder / "p.toml").write_text(
        '[[stage]]\npython = "threads.py:block"\nwhen = "n < `2`"\ntimeout = 1\n'
        '[[stage]]\npython = "threads.py:block"\nname = "hold"\nwhen = "n == `2`"\n'
    )
    process = started(start, "-c", "p.toml", "-j", "1", lines=b'{"n":1,"hang":1}\n')
    (timed_out,) = records(process.stdout.readline())
    assert timed_out["_error"]["kind"] == "timeout"
    process.stdin.write(b'{"n":2,"hang":1}\n')
    until((folder / "begun-2").exists)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    kinds = {r["_error"]["kind"] for r in records(out)}
    assert (process.returncode, kinds) == (75, {"shutdown"})
    told, digest, _ = err.splitlines()  # the last one is the summary
    assert b"timeout in block" in told
    assert digest.startswith(b"streamproc: 1 failed: 1 \xc3\x97 timeout in block")
    assert summary(err)["received"] == 3


def test_drain_finishes_a_list_that_is_not_full(start: Any, folder: Path) -> None:
    """Records that wait for their list to fill are finished by a drain, not forgotten."""
    (folder / "threads.py").write_text(THREADS)
    process = start("-e", "stages.py:seen", "-e", "threads.py:gather", "--summary", "json")
    process.stdin.write(b'{"n":1,"s":0.3}\n{"n":2}\n')
    until(lambda: (folder / "seen").exists() and (folder / "seen").stat().st_size == 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert numbers(out) == [1, 2]
    assert summary(err)["ok"] == 2


@pytest.mark.parametrize("to_file", [False, True])
def test_abort_while_the_reader_stalls(start: Any, folder: Path, to_file: bool) -> None:
    """A reader that does not read cannot hold up the second signal; nothing is uncounted."""
    os.mkfifo(folder / "out")
    reader = os.open(folder / "out", os.O_RDONLY | os.O_NONBLOCK)
    arguments = ["-o", "out"] if to_file else []
    process = start(
        "-e", "stages.py:seen", "--summary", "json", "--dead-letter", "dead", "-j", "4", *arguments
    )
    sent, line = 0, b'{"pad":"%s"}\n' % (b"x" * 1000)
    process.stdin.write(line)
    until((folder / "seen").exists)
    os.set_blocking(process.stdin.fileno(), False)
    quiet = 0
    while quiet < 20:  # until it takes no more
        written = process.stdin.write(line[sent % len(line) :])
        sent += written or 0
        quiet = 0 if written else quiet + 1
        if not written:
            subprocess.run(["sleep", "0.05"], check=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 75
    err = process.stderr.read()
    os.close(reader)
    counts = summary(err)
    letters = [r for r in records((folder / "dead").read_bytes()) if r["raw"].endswith("}")]
    assert counts["unprocessed"] == len(letters) > 0
    assert counts["received"] == counts["ok"] + len(letters)


def test_a_terminal_is_told(start: Any) -> None:
    """On a terminal the first signal says what is going on, and the summary is for people."""
    ours, theirs = os.openpty()
    with open(theirs, "wb", buffering=0) as terminal:
        process = start("-e", "stages.py:slow", "--no-progress", stderr=terminal)
        process.stdin.write(GO + b'{"s":0.5}\n')
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    said = os.read(ours, 10_000)
    os.close(ours)
    assert re.search(rb"draining \d+ records?, Ctrl-C again to abort", said)
    assert said.rstrip().splitlines()[-1].startswith(b"streamproc: ")


def test_ctrl_c_reaches_the_whole_pipe(folder: Path, start: Any) -> None:
    """Ctrl-C kills producer and consumer too: every record read has its place all the same."""
    (folder / "consumer.py").write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "os.write(1, sys.stdin.buffer.readline())\n"
        "signal.pause()\n"
    )
    ours, theirs = os.pipe()
    process = start(
        "-e", "stages.py:slow", "--dead-letter", "dead", "--summary", "json",
        stdout=theirs, process_group=0,
    )  # fmt: skip
    consumer = subprocess.Popen(
        [sys.executable, "consumer.py"], stdin=ours, stdout=subprocess.PIPE, cwd=folder,
        process_group=process.pid,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert consumer.stdout is not None
    process.stdin.write(GO + b'{"n":1,"s":0.4}\n{"n":2,"s":0.3}\n')
    assert consumer.stdout.readline() == b'{"n":0,"ok":true}\n'
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert consumer.wait(PATIENCE_S) == -signal.SIGINT
    consumer.stdout.close()
    counts = summary(err)
    letters = records((folder / "dead").read_bytes())
    assert process.returncode == (141 if letters else 130)
    assert counts["unprocessed"] == len(letters)
    assert counts["received"] == counts["ok"] + len(letters)
