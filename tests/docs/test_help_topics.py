"""`streamproc help`: the pages, in the terminal and in what is installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamproc.cli.help import topics
from streamproc.cli.plain_text import plain_text
from tests.conftest import environment
from tests.docs.pages import DOCS, ROOT
from tests.terminal import on_a_terminal

pytestmark = pytest.mark.forked
HELPFUL = sorted(
    page for room in ("guide", "extending", "reference") for page in (DOCS / room).glob("*.md")
)


def test_topics_are_the_pages(run: Any) -> None:
    """Those of the guide, of extending and the reference, each with its title."""
    assert sorted(path.resolve() for path in topics().values()) == HELPFUL
    listed = run("help").stdout.decode()
    for page in HELPFUL:
        title = page.read_text("utf-8").partition("\n")[0].removeprefix("# ").replace("`", "")
        assert re.search(rf"^  {page.stem} +{re.escape(title)}$", listed, re.MULTILINE)


def test_the_wheel_has_them() -> None:
    """What pyproject.toml packs is what `help` reads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["streamproc"]
    house = ROOT / "streamproc"
    packed = {path.resolve() for each in patterns for path in house.glob(each)}
    assert set(HELPFUL) <= packed


@pytest.mark.parametrize("page", HELPFUL, ids=lambda page: page.stem)
def test_a_topic_says_all_that_its_page_says(run: Any, page: Path) -> None:
    """Every word of it, but for marks, addresses and comments."""
    done = run("help", page.stem)
    assert done.returncode == 0

    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text)

    markdown = re.sub(r"<!--.*?-->|^```.*", "", page.read_text("utf-8"), flags=re.MULTILINE)
    markdown = re.sub(r"\]\((?!https?:)[^)]*\)", "]", markdown)
    shown = re.sub(r"\(streamproc\s+help\s+[a-z-]+\)", "", done.stdout.decode())
    assert words(shown) == words(markdown)


@pytest.mark.parametrize(
    ("word", "says"),
    [("kafak", "did you mean kafka?"), ("xyzzy", "streamproc help lists it")],
)
def test_an_unknown_topic(run: Any, word: str, says: str) -> None:
    done = run("help", word)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()


def test_the_pager_is_for_terminals(run: Any, folder: Path) -> None:
    """In a pipe the text comes as it is; on a terminal $PAGER has it."""
    pager = {"PAGER": "sed s/^/paged:/", "TERM": "xterm"}
    assert b"paged:" not in run("help", "pipes", env=environment(pager)).stdout
    code, screen = on_a_terminal(folder, "help", "pipes", **pager)
    assert code == 0
    assert "paged:Pipes" in screen


def test_plain_text() -> None:
    page = """# `Title`

See [Kafka](../guide/kafka.md#offsets) and [there](https://example.com); **bold**.

```sh
a | b
```

| key | means |
|---|---|
| `a\\|b` | one |

- first
  line
- second
<!-- not shown -->
"""
    assert plain_text(page).splitlines() == [
        "`Title`", "=======", "",
        "See Kafka (streamproc help kafka) and there (https://example.com); bold.", "",
        "    a | b", "",
        "key: means", "", "  `a|b`", "      one", "",
        "- first line", "", "- second",
    ]  # fmt: skip


def test_the_reference_is_what_the_code_says() -> None:
    """`make docs` has nothing to write."""
    done = subprocess.run(
        [sys.executable, "tests/reference.py", "--check"], cwd=ROOT, env=environment({}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_exit_code_is_in_the_table() -> None:
    """That of each error, and those that the table for topics has."""
    from streamproc import errors

    known = {int(each) for codes in errors.EXIT_CODES for each in codes.split(", ")}
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    assert {each.exit_code for each in classes if hasattr(each, "exit_code")} <= known
