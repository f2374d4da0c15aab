"""Where things stand in a test file, which the parser of TOML does not say."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*test[ \t]*\]\]", re.MULTILINE)
_LONG_TEXT = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'', re.DOTALL)


class Lines:
    """The lines of a file with `[[test]]` tables."""

    def __init__(self, text: str) -> None:
        text = _LONG_TEXT.sub(lambda found: "\n" * found[0].count("\n"), text)
        self._lines = text.split("\n")
        self._first = [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]

    def of_test(self, index: int) -> int:
        """The line (from 1) of the header of a test."""
        return self._first[index] if index < len(self._first) else 1

    def of_key(self, key: str, test: int | None = None) -> int:
        """The line where `key` stands first, in one test or anywhere; else that of the header."""
        first, after = 1, len(self._lines) + 1
        if test is not None:
            first = self.of_test(test)
            after = next((each for each in self._first if each > first), after)
        name = re.escape(key)
        is_there = re.compile(rf"(?:^|[\s.{{,\[])(?:{name}|\"{name}\"|'{name}')\s*[=.\]]").search
        return next((n for n in range(first, after) if is_there(self._lines[n - 1])), first)
