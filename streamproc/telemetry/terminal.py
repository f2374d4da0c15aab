"""A line at the bottom of a terminal that others write to as well."""

from __future__ import annotations

import os
from typing import Any, TextIO

# ECMA-48 8.3.39, erase in page: the line, and what is drawn below it; it is drawn again soon. Not
# from the first column on: in the first line of the window tmux takes that for "clear the window",
# and keeps what was there in its history, five times a second
ERASE = "\r \x1b[J\r"
# DEC's private mode 7, off and on: what is longer than the line does not go on in the next one
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Beside:
    """`stream`, for those who write beside such a line: it is erased before theirs begins.

    Whether one is there need not be known, so that this works in workers too.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_mid_line = False

    def __getattr__(self, name: str) -> Any:  # whatever `stream` has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As that of `stream`."""
        if not text:
            return 0
        count = self._stream.write(text if self.is_mid_line else ERASE + text)
        self.is_mid_line = not text.endswith("\n")
        return count


def drawn(lines: list[str]) -> str:
    """What draws these in place of what was drawn before them.

    The cursor stays where the first begins, and whoever writes next erases what is below it: the
    end of a line stands elsewhere once a window has got narrower and its terminal broke the line.
    """
    back = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""  # ECMA-48 8.3.22, cursor up
    return "".join((ERASE, _NO_WRAP, "\n".join(lines), _WRAP, back, "\r"))


def size_of(stream: TextIO) -> tuple[int, int]:
    """Columns and lines of the terminal now; 80 and 24 where nobody knows."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return columns or 80, lines or 24


def same_terminal(one: int, other: int) -> bool:
    """Whether both descriptors are a terminal, and the same one."""
    try:
        return (
            os.isatty(one) and os.isatty(other) and os.fstat(one).st_rdev == os.fstat(other).st_rdev
        )
    except OSError:
        return False


def stderr_is_terminal() -> bool:
    """Also False where it is closed."""
    try:
        return os.isatty(2)
    except OSError:
        return False
