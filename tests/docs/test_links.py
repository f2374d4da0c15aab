"""Where the documentation points to, there is something; and the first page is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, blocks_of

LINK = re.compile(r"\]\(([^)\s]+)\)")
MOST_BYTES = 12 * 1024


def prose(page: Path) -> str:
    """The page without its code, in which brackets mean something else."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """The headings, as they are in addresses."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A file that exists, and a heading in it."""
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_can_be_found_from_the_readme() -> None:
    linked = {(ROOT / name).resolve() for name in LINK.findall(prose(ROOT / "README.md"))}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} <= linked


def test_the_readme_is_short() -> None:
    """What it is, how to begin, where to read on."""
    assert len((ROOT / "README.md").read_bytes()) <= MOST_BYTES


def test_the_house_is_drawn_the_same_twice() -> None:
    pictures = [
        {block.text for block in blocks_of(page) if block.language == "text"}
        for page in (ROOT / "README.md", DOCS / "design" / "house.md")
    ]
    assert pictures[0] & pictures[1]
