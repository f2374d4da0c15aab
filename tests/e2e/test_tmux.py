"""A run in tmux: a terminal that people use, and that breaks lines anew when its window changes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import COMMAND, NO_TMUX, PATIENCE_S, environment

TMUX = shutil.which("tmux")
STAGES = """
import asyncio

async def held(record):
    await asyncio.sleep(1000)
"""
STAGE = "a-stage-with-a-name-of-fifty-characters-or-so-which-is-long=stages.py:held"
WIDE, NARROW = 80, 20


class Window:
    """A window of a tmux of its own, which has read no settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, line: str) -> None:
        """A shell runs `line`."""
        self._tmux("new-session", "-d", "-x", "120", "-y", "12", line)

    def resize(self, columns: int) -> None:
        self._tmux("resize-window", "-x", str(columns))

    def close(self) -> None:
        self._tmux("kill-server")

    def until(self, met: Callable[[list[str]], object]) -> None:
        """Look until what stands there, with its attributes, meets this."""
        deadline = time.monotonic() + PATIENCE_S
        while not met(shown := self.shown()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)

    def shown(self, *more: str) -> list[str]:
        """The lines that are not empty."""
        text = self._tmux("capture-pane", "-p", "-e", *more)
        return [line for line in text.splitlines() if line.strip()]

    def _tmux(self, *command: str) -> str:
        tmux = [TMUX or "", "-S", "socket", "-f", os.devnull]  # a socket's path has to be short
        done = subprocess.run(
            [*tmux, *command], cwd=self._folder, env=environment({"TERM": "xterm"}),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    if TMUX is None:
        pytest.skip(f"{NO_TMUX}tmux")
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "in").write_bytes(b"{}\n" * 300)
    window = Window(tmp_path)
    yield window
    window.close()


@pytest.mark.parametrize(("form", "lines"), [("line", 1), ("full", 2)])
def test_a_window_that_gets_narrower(window: Window, form: str, lines: int) -> None:
    """Lines are drawn over what tmux has broken, and nothing of it stays, nor of any colour."""
    window.run(shlex.join([*COMMAND, "in", "-e", STAGE, "--progress-format", form, "-o", "out"]))
    for columns in (WIDE, NARROW) * 4:
        window.resize(columns)
        window.until(
            lambda shown, columns=columns: (
                len(shown) == lines
                and shown[0].startswith("0 records (0%) in")
                and ("in flight" in shown[0]) == (columns == WIDE)
                and max(map(len, shown)) < columns
            )
        )


@pytest.mark.parametrize("form", ["line", "full"])
def test_the_first_line_of_a_window(window: Window, form: str) -> None:
    """Lines that are drawn anew are not kept among those to scroll back to."""
    command = [*COMMAND, "in", "-e", STAGE, "--progress-format", form, "-o", "out"]
    window.run(f"clear; {shlex.join(command)}")
    window.until(lambda shown: shown and re.search(r"oldest [2-9]|oldest \d\d", shown[0]))
    assert len(window.shown("-S", "-")) == (2 if form == "full" else 1)
