"""Commands that print, where nobody takes it: the exit codes of a run, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment

pytestmark = pytest.mark.forked
LETTERS = b"".join(
    json.dumps({"_error": {"stage": "x", "kind": "timeout"}, "raw": '{"id":1}'}).encode() + b"\n"
    for _ in range(10_000)
)
COMMANDS = {
    "replay": ("replay", "letters"), "schema": ("schema",), "check": ("check", "p.toml"),
    "help": ("help", "policies"), "options": ("--help",), "man": ("man",),
    "dry run": ("-e", "none", "--dry-run", "letters"),
}  # fmt: skip


@pytest.fixture
def filled(folder: Path) -> Path:
    (folder / "letters").write_bytes(LETTERS)
    (folder / "p.toml").write_text('[[stage]]\nbuiltin = "none"\n')
    return folder


def into(line: str, folder: Path, *arguments: str) -> Any:
    """`line` is what a shell makes of the command's stdout."""
    command = ["bash", "-c", f'"$@" {line}', "bash", sys.executable, "-m", "streamproc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment({}), stdin=subprocess.DEVNULL, capture_output=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_74(filled: Path, name: str) -> None:
    done = into(">/dev/full", filled, *COMMANDS[name])
    assert done.returncode == 74
    assert done.stderr.splitlines()[-1] == b"streamproc: stdout: No space left on device"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_went_away_is_141(run: Any, filled: Path, name: str) -> None:
    """Silently, as `yes | head`."""
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "wb") as output:
        done = run(*COMMANDS[name], capture_output=False, stdout=output, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_replay_to_nowhere_is_74(filled: Path) -> None:
    done = into(">&-", filled, *COMMANDS["replay"])
    assert (done.returncode, done.stderr.count(b"\n")) == (74, 1)
    assert done.stderr.startswith(b"streamproc: stdout: closed: redirect it")
