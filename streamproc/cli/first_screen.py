"""What a person sees who types `streamproc` and nothing else: examples that work there and then."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import streamproc

EXAMPLES = (
    ("streamproc --demo | jq", "sample leads, enriched offline"),
    ('echo \'{"email": "ada@example.com"}\' | streamproc', "records of your own, from a pipe"),
    ("streamproc --demo -e 'filter:email' -e 'select:{id: id, mail: email}'", "reshape: JMESPath"),
    (
        "streamproc --demo -e fields=builtins:len --limit 3",
        "call Python, module:function",
    ),
    (
        "streamproc --demo --sample 2 --summary text > /dev/null",
        "every second one, and the account",
    ),
    ("streamproc --demo -o out.jsonl --checkpoint cp --resume", "stop it, start it: it goes on"),
)
_MORE = (
    "Call a service: -e 'x=https://api.example.com/{domain}'. All options: streamproc --help.",
    "Other commands: init, test, check, schema, replay, completion, man. Guide: streamproc help.",
)


def demo_file() -> str:
    """The name of the bundled sample leads."""
    assert streamproc.__file__ is not None
    return str(Path(streamproc.__file__).parent / "data" / "leads.jsonl")


def first_screen(*, colours: bool) -> str:
    """Some lines of examples."""
    bold, dim, plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colours else ("", "", "")
    lines = [
        f"{bold}streamproc{plain} reads JSON Lines, enriches each record, writes JSON Lines.",
        "",
    ]
    for command, says in EXAMPLES:
        lines += [f"  {dim}# {says}{plain}", f"  {bold}{command}{plain}"]
    return "\n".join([*lines, "", *_MORE])


def wants_colours(fd: int) -> bool:
    """Whether escapes belong there: a terminal that knows them, and nobody who said NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        return os.isatty(fd) and sys.platform != "win32"
    except OSError:
        return False
