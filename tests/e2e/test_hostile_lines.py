"""Lines that an attacker made: each costs little, ends in one place, and stops nobody else."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, PATIENCE_S, environment, records, summary

pytestmark = pytest.mark.forked

MIB = 1 << 20
GOOD = b'{"email":"ann@example.com"}'
STAGES = """
import streamproc

def plain(record):
    return {"ok": True}

def changed(record):
    record["ok"] = True
    return record

@streamproc.transform
def replaced(record):
    record["ok"] = True
    return record

def interrupted(record):
    if record.get("bad"):
        raise KeyboardInterrupt
    return {"ok": True}

async def interrupted_later(record):
    return interrupted(record)

class Unspeakable(Exception):
    def __str__(self):
        raise KeyboardInterrupt

def unspeakable(record):
    if record.get("bad"):
        raise Unspeakable
    return {"ok": True}

async def closed(record):
    if record.get("bad"):
        raise GeneratorExit
    return {"ok": True}

def decode(record):
    if record.get("bad"):
        raise streamproc.RecordError("too_long", "no")
    return {"ok": True}
"""


def hostile() -> dict[str, tuple[bytes, str | None]]:
    """Name: the line, and what it ends as in a stage; None: as any other record.

    More than 40 MB, for who needs them: not for each process that collects tests.
    """
    return {
        "escaped quotes": (b"[" * 513 + b'"' + rb"\"" * (MIB // 2), "too_deep"),
        "backslashes": (b"[" * 513 + b'"' + b"\\" * MIB, "too_deep"),
        "up and down": (
            b'{"a":[' + b",".join([b"[" * 500 + b"]" * 500] * (MIB // 1001)) + b"]}",
            None,
        ),
        "open": (b'{"a":' * (MIB // 5), "too_deep"),
        "an integer": (b'{"a":' + b"7" * (4 * MIB) + b"}", "bad_number"),
        "integers": (b'{"a":[' + b",".join([b"-" + b"7" * 50_000] * 4) + b"]}", None),
        "one more": (b'{"a":[' + b",".join([b"7" * 40_001] * 5) + b"]}", "bad_number"),
        "many integers": (b'{"a":[' + b",".join([b"7" * 4299] * 47) + b"]}", "bad_number"),
        "objects": (b'{"a":[' + b",".join([b"{}"] * (3 * MIB)) + b"]}", "too_long"),
        "a list": (b"[" + b",".join([b"{}"] * (3 * MIB)) + b"]", "not_an_object"),
        "a torn list": (b'{"a":[' + b",".join([b"{}"] * (3 * MIB)), "malformed"),
        "keys": (b"{" + b",".join(b'"%x":1' % i for i in range(MIB // 9)) + b"}", None),
        "a key": (b'{"' + b"kK " * (MIB // 3) + b'":1}', None),
        "a name": (b'{"name":"' + b"a " * (MIB // 2) + b'"}', None),
        "an address": (b'{"email":"' + b"a@" * MIB + b'","address":"' + b"1 " * MIB + b'"}', None),
        "lone surrogates": (rb'{"s":"\ud800","a":[' + b",".join([b"1"] * (MIB // 2)) + b"]}", None),
    }  # fmt: skip


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "stages.py").write_text(STAGES)
    return folder


@pytest.mark.parametrize("stage", ["leads", "none", "stages.py:replaced"])
def test_every_line_has_its_end(run: Any, folder: Path, stage: str) -> None:
    """Each fails for its own reason, or is a record as any other; memory stays bounded."""
    given = hostile()
    lines = [each for line, _ in given.values() for each in (line, GOOD)]
    (folder / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    measured = (
        "import os, resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:]).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *COMMAND, "-e", stage, "in.jsonl", "-o", "out.jsonl",
         "--summary", "json"],
        cwd=folder, env=environment({}), capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    account, kib = done.stderr.splitlines()[-2:]
    assert done.returncode == 3
    assert int(kib) < 300 << 10
    wanted = [kind for _, kind in given.values()]
    if stage == "none":
        wanted = [None if kind in ("bad_number", "too_long") else kind for kind in wanted]
    assert summary(account)["failed"] == len(wanted) - wanted.count(None)
    out = (folder / "out.jsonl").read_bytes().split(b"\n")[:-1]
    assert len(out) == len(lines)
    for (name, (line, _)), kind, got in zip(given.items(), wanted, out[::2], strict=True):
        if kind is None:
            assert got.startswith(line[:-1]) or stage == "stages.py:replaced", name
        else:
            assert b'"kind":"%b"' % kind.encode() in got[-400:] or got.startswith(
                b'{"_error":{"stage":"decode","kind":"%b"' % kind.encode()
            ), name
    replayed = run("replay", "out.jsonl")
    assert replayed.returncode == 0
    originals = [line for line, kind in zip(lines[::2], wanted, strict=True) if kind is not None]
    assert replayed.stdout.split(b"\n")[:-1] == originals


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_among_them(start: Any, workers: str) -> None:
    """SIGTERM ends a run that gets nothing else, cleanly."""
    process = start("-e", "leads", "-w", workers, "--summary", "json", stdout=subprocess.DEVNULL)
    line = hostile()["escaped quotes"][0] + b"\n"
    try:
        for k in range(40):
            process.stdin.write(line)
            if k == 20:
                process.send_signal(signal.SIGTERM)
    except BrokenPipeError:
        pass
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert summary(stderr)["unprocessed"] == 0


def test_a_long_integer_is_the_stages_matter(run: Any) -> None:
    """Without a stage it passes; with one the record fails there, unharmed."""
    line = b'{"id": %b }' % (b"9" * 50_001)
    assert run("-e", "none", stdin=line).stdout == line + b"\n"
    done = run("-e", "a=stages.py:plain", "-e", "stages.py:plain", "--summary", "json", stdin=line)
    assert done.returncode == 3
    assert summary(done.stderr)["malformed"] == 0
    assert done.stdout.startswith(line[:-1] + b',"_error":{"stage":"a","kind":"bad_number"')
    exact = b'{"id":%b}' % (b"9" * 50_000)
    done = run("-e", "stages.py:changed", stdin=exact)
    assert (done.returncode, done.stdout) == (0, exact[:-1] + b',"ok":true}\n')


@pytest.mark.parametrize(
    ("function", "workers"),
    [
        ("interrupted", "1"),
        ("interrupted_later", "1"),
        ("interrupted", "2"),
        ("closed", "1"),
        ("unspeakable", "1"),
    ],
)
def test_a_stage_that_interrupts_itself(run: Any, function: str, workers: str) -> None:
    """KeyboardInterrupt of user code is an exception as any other: Ctrl-C raises none.

    So is a GeneratorExit, unless somebody closes the coroutine.
    """
    lines = b'{"n":1}\n{"bad":1}\n{"n":2}\n'
    stage = f"stages.py:{function}"
    done = run("-e", stage, "-w", workers, "--summary", "json", stdin=lines)
    assert done.returncode == 3
    assert summary(done.stderr)["failed"] == 1
    kinds = [each.get("_error", {}).get("kind") for each in records(done.stdout)]
    assert kinds == [None, "exception", None]


def test_a_stage_called_decode(run: Any) -> None:
    """Its failures are its own: none is a malformed line, and all can be given back."""
    done = run("-e", "stages.py:decode", "--summary", "json", stdin=b'{"bad":1}\n{"n":1}\n')
    assert (done.returncode, summary(done.stderr)["malformed"]) == (3, 0)
    assert run("replay", "-", stdin=done.stdout).stdout == b'{"bad":1}\n'


def test_half_a_line_of_a_file_is_no_dead_letter(start: Any, folder: Path) -> None:
    """A run that stops in the middle of a line of a file leaves it where it is."""
    record = b'{"s":1,"pad":"' + b"x" * 1000 + b'"}\n'
    (folder / "in.jsonl").write_bytes(record * 100_000)
    process = start(
        "-e", "stages.py:plain", "--dead-letter", "dead.jsonl", "-o", "out.jsonl",
        "--summary", "json", "in.jsonl",
    )  # fmt: skip
    while not (folder / "out.jsonl").exists() or not (folder / "out.jsonl").stat().st_size:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert summary(stderr)["received"] < 100_000
    assert (folder / "dead.jsonl").read_bytes() == b""


def test_half_a_line_of_a_pipe_is_kept(start: Any, folder: Path) -> None:
    """Of a pipe it is nowhere else."""
    process = start("-e", "stages.py:plain", "--dead-letter", "dead.jsonl", "--ordered")
    process.stdin.write(b'{"n":1}\n{"n":')
    assert process.stdout.read(10)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    (letter,) = records((folder / "dead.jsonl").read_bytes())
    assert letter["raw"] == '{"n":'


THEIRS = b'{"n":1,"_error":{"sources":{}}}'


def test_incoming_errors(run: Any) -> None:
    """An `_error` passes untouched and counted, or is a member as any other."""
    for mode in ((), ("--incoming-errors", "redo")):
        arguments = ("-e", "stages.py:plain", "--summary", "json", *mode)
        done = run(*arguments, stdin=THEIRS)
        assert (done.returncode, done.stdout) == (0, THEIRS + b"\n")
        assert summary(done.stderr)["had_error"] == 1
    for stage, workers in (("plain", "1"), ("changed", "1"), ("replaced", "2")):
        arguments = ("-e", f"stages.py:{stage}", "-w", workers, "--summary", "json")
        done = run(*arguments, "--incoming-errors", "process", stdin=THEIRS)
        assert (done.returncode, done.stdout) == (0, THEIRS[:-1] + b',"ok":true}\n')
        assert summary(done.stderr)["had_error"] == 0


def test_an_error_that_is_data_can_fail(run: Any) -> None:
    """Then ours takes its place, and the record is given back with theirs."""
    raw = b'{"bad":1,"_error":"theirs"}'
    arguments = ("-e", "stages.py:interrupted", "--incoming-errors", "process")
    done = run(*arguments, stdin=raw)
    (record,) = records(done.stdout)
    assert record["_error"]["kind"] == "exception"
    assert run("replay", "-", stdin=done.stdout).stdout == raw + b"\n"
    done = run(*arguments, "--on-error", "dead-letter", "--dead-letter", "d", stdin=raw)
    assert run("replay", "d").stdout == raw + b"\n"


def test_the_environment_and_the_file_say_it_too(run: Any, folder: Path) -> None:
    """As every setting; an unknown word is refused."""
    (folder / "p.toml").write_text(
        'incoming_errors = "process"\n[[stage]]\npython = "stages.py:plain"\n'
    )
    assert b'"ok":true' in run("-c", "p.toml", stdin=THEIRS).stdout
    there = {"STREAMPROC_INCOMING_ERRORS": "pass"}
    assert run("-c", "p.toml", stdin=THEIRS, env=there).stdout == THEIRS + b"\n"
    assert run("-e", "none", "--incoming-errors", "ignore").returncode == 2
