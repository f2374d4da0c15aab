"""The documentation, as its tests read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block; `name` is that of the file whose text it is."""

    page: Path
    line: int
    language: str
    name: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, *found.groups())
        for found in _BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands(block: Block) -> list[str]:
    """The lines of a shell block, continued ones as one, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def as_tree(text: str) -> Any:
    """YAML, with a parser if there is one; else only as far as these pages go."""
    try:
        import yaml
    except ImportError:
        lines = [line for line in text.splitlines() if line.strip()]
        value, rest = subtree(lines, 0)
        assert not rest, rest
        return value
    return yaml.safe_load(text)


def subtree(lines: list[str], indent: int) -> tuple[Any, list[str]]:
    """Mappings and lists in blocks; values are JSON, or else text."""
    tree: Any = [] if lines[0].lstrip().startswith("- ") else {}
    while lines and len(lines[0]) - len(lines[0].lstrip()) == indent:
        line, lines = lines[0][indent:], lines[1:]
        if isinstance(tree, list):
            assert line.startswith("- "), line
            item, lines = subtree([" " * (indent + 2) + line[2:], *lines], indent + 2)
            tree.append(item)
            continue
        key, colon, value = line.partition(":")
        assert colon, line
        assert key.isidentifier(), line
        assert key not in tree, line
        if value:
            tree[key] = json.loads(value) if value.startswith(" [") else value.strip()
        else:
            tree[key], lines = subtree(lines, len(lines[0]) - len(lines[0].lstrip()))
    return tree, lines
