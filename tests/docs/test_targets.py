"""What the documentation and the workflow of CI say that make can do."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import BLOCKS, ROOT, commands

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_examples_name_targets() -> None:
    lines = [line for block in BLOCKS if block.language == "sh" for line in commands(block)]
    named = {found[1] for line in lines if (found := re.match(r"make ([a-z-]+)", line))}
    assert named <= TARGETS


def test_ci_runs_targets() -> None:
    """And nothing beside them, so that everybody can run the same."""
    runs = re.findall(r"^ +(?:- run: )?(make .*)$", WORKFLOW, re.MULTILINE)
    assert {each.split()[1] for each in runs} == {
        "bench-compare", "check", "test", "test-lowest", "torture",
    }  # fmt: skip
    assert all(each.split()[1] in TARGETS for each in runs)


def test_ci_begins_with_the_lowest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lowest = project["requires-python"].removeprefix(">=")
    found = re.search(r"python: \[(.*)\]", WORKFLOW)
    assert found is not None
    versions = re.findall(r'"([\d.]+)"', found[1])
    assert versions[0] == lowest
    assert versions == [f"3.{minor}" for minor in range(11, 15)]
