"""Text for people: what comes from outside neither moves a cursor nor forges a line."""

from __future__ import annotations

import re
from traceback import format_exception

from streamproc.secrets import redact

MOST = 500  # characters of what comes from outside
_TAIL = 150  # of these for the end, where messages say what to do
_TRACE = 2000  # of a line of code, which does not

# control characters, marks and overrides of the writing direction, line separators, half characters
_UNSAFE = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_FRAME = '  File "'


def one_line(text: str, most: int = MOST) -> str:
    """`text` without secrets as one line of at most `most` characters; its middle is left out."""
    text = _cut(redact(text), most)
    return _cut(re.sub(_UNSAFE, _escaped, text), most)


def short(text: str, most: int = MOST) -> str:
    """The same for JSON, which has escapes of its own: `as_json` comes after it."""
    return _cut(redact(text), most)


def as_json(document: str) -> str:
    """A JSON document (or TOML values) that means the same, with no such character in it."""
    return re.sub(_UNSAFE, lambda match: f"\\u{ord(match[0]):04x}", document)


def counted(number: int, what: str) -> str:
    """`number` and its noun: one is one."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def traceback_lines(error: BaseException) -> list[str]:
    """The traceback of `error`; its message, which may come from outside, is one line of it."""
    lines = []
    for part in format_exception(error):
        part = part.rstrip("\n")  # noqa: PLW2901 - it is the same
        if part.startswith(_FRAME):
            lines += [one_line(line, _TRACE) for line in part.split("\n")]
        elif part.strip():
            lines.append(one_line(part.strip("\n")))
    return lines


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - _TAIL - 1]}…{text[-_TAIL:]}"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
