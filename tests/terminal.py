"""A terminal to run the command in, and to look at."""

from __future__ import annotations

import os
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte

from tests.conftest import COMMAND, PATIENCE_S, environment

LINES = 12


class Terminal:
    """Runs one command, whose stderr (and whatever else is not given) is this terminal.

    `begin` starts it, as `subprocess.Popen` does.
    """

    def __init__(
        self,
        folder: Path,
        begin: Callable[..., subprocess.Popen[bytes]],
        *arguments: str,
        columns: int = 160,
        **options: Any,
    ) -> None:
        self._ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (LINES, columns))
        self._screen = pyte.Screen(columns, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        settings = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL} | options
        settings = {name: theirs if each is None else each for name, each in settings.items()}
        settings["env"] = environment({"TERM": "xterm"} | options.get("env", {}))
        self.process = begin(
            [*COMMAND, *arguments], cwd=folder, stderr=theirs, bufsize=0, start_new_session=True,
            **settings,
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    @property
    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def until(self, met: Callable[[list[str]], Any]) -> Any:
        """Look until what is shown meets this; returns what that says."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := met(self.shown)):
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown
        return found

    def end(self) -> list[str]:
        """What is left when the command has ended, and everything it wrote was seen."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        while self._read():
            pass
        self.process.wait(PATIENCE_S)
        return self.shown

    def hang_up(self) -> None:
        """The terminal is closed."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def resize(self, columns: int) -> None:
        """Another width from here on."""
        termios.tcsetwinsize(self._ours, (LINES, columns))
        self._screen.resize(LINES, columns)

    def _read(self) -> bool:
        """See what comes next; False when nothing can come any more."""
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_S)
        assert ready, f"nothing comes any more: {self.shown}"
        try:
            data = os.read(self._ours, 4096)
        except OSError:  # what Linux says when the other side is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


def on_a_terminal(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and screen of the command, whose stdin and stderr are a terminal."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment({"TERM": "xterm"} | variables),
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # what Linux says when the other side is closed
        pass
    os.close(ours)
    return process.wait(PATIENCE_S), seen.decode().replace("\r\n", "\n")
