"""A run that never begins ends like any other: one line, an exit code, and the account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment, summary

INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *rest):
        if name == "click":
            os.kill(os.getpid(), signal.{name})

sys.meta_path.insert(0, Interrupts())
from streamproc.__main__ import start
start()
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("missing.jsonl",), 66),
        (("-o", "missing/out"), 73),
        (("-e", "stages.py:missing"), 78),
        (("--checkpoint", "missing/cp"), 73),
    ],
)
def test_a_refusal_has_a_summary(run: Any, arguments: tuple[str, ...], code: int) -> None:
    """For who reads it: nothing was received. Nobody else is told of a run that never was."""
    done = run("-e", "none", "--summary", "json", *arguments, stdin=b"{}\n")
    account = summary(done.stderr)
    assert (done.returncode, account["exit_code"], account["received"]) == (code, code, 0)
    assert done.stderr.count(b"\n") == 2
    assert run("-e", "none", *arguments, stdin=b"{}\n").stderr.count(b"\n") == 1


def test_a_stdout_that_is_closed_has_a_summary(run: Any, folder: Path) -> None:
    """It is there when the output is not."""
    line = f"exec {sys.executable} -m streamproc -e none --summary json >&-"
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment({}), input=b"{}\n",
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert (done.returncode, summary(done.stderr)["exit_code"]) == (74, 74)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_while_it_is_loaded(folder: Path, name: str, code: int) -> None:
    """Silence and its exit code, no traceback of an import."""
    command = [sys.executable, "-c", INTERRUPTED.replace("{name}", name)]
    done = subprocess.run(
        command, cwd=folder, env=environment({}), stdin=subprocess.DEVNULL, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
