"""Markdown as text for a terminal: as much of it as our own pages use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import fill, indent

WIDTH = 80
_BLOCK = re.compile(
    r"```[^\n]*\n(?P<code>.*?)\n```"
    r"|(?P<heading>#+) (?P<title>[^\n]+)"
    r"|(?P<table>\|[^\n]*(?:\n\|[^\n]*)*)"
    r"|<!--.*?-->"
    r"|(?P<item>- [^\n]+(?:\n(?!- |<!--)[^\n]+)*)"
    r"|(?P<prose>[^\n]+(?:\n(?!```|\||- |<!--)[^\n]+)*)",
    re.DOTALL,
)
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)]*)\)")
_TOPIC = re.compile(r"(?:\.\./(?:guide|reference)/)?([a-z-]+)\.md")
_CELL_END = re.compile(r"(?<!\\)\|")


def plain_text(markdown: str) -> str:
    """The same text: headings underlined, code indented, tables as lists, links with addresses."""
    return "\n\n".join(_blocks(markdown)) + "\n"


def _blocks(markdown: str) -> Iterator[str]:
    for found in _BLOCK.finditer(markdown):
        if found["code"] is not None:
            yield indent(found["code"], "    ")
        elif found["heading"]:
            title = _inline(found["title"])
            yield f"{title}\n{('=' if found['heading'] == '#' else '-') * len(title)}"
        elif found["table"]:
            yield "\n".join(_rows(found["table"]))
        elif found["item"]:
            yield _wrapped(found["item"][2:], first="- ", then="  ")
        elif found["prose"]:
            yield _wrapped(found["prose"])


def _rows(table: str) -> Iterator[str]:
    """Each row: its first cell, and below it the others; what they are called stands in front."""
    lines = [[cell.strip() for cell in _CELL_END.split(line)[1:-1]] for line in table.splitlines()]
    heads, _, *rows = lines
    yield f"{_inline(heads[0])}: {', '.join(map(_inline, filter(None, heads[1:])))}\n"
    for first, *others in rows:
        yield _wrapped(first, first="  ", then="  ")
        for cell in filter(None, others):
            yield _wrapped(cell, first=" " * 6, then=" " * 6)


def _wrapped(text: str, first: str = "", then: str = "") -> str:
    return fill(
        " ".join(_inline(text).split()), WIDTH, initial_indent=first, subsequent_indent=then,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _inline(text: str) -> str:
    """Without marks; a link to another page is the command that shows it."""
    return _LINK.sub(_link, text).replace("**", "").replace("\\|", "|").replace("\\<", "<")


def _link(found: re.Match[str]) -> str:
    words, address = found.groups()
    if "://" in address:
        return f"{words} ({address})"
    topic = _TOPIC.match(address)
    return f"{words} (streamproc help {topic[1]})" if topic else words
