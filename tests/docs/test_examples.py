"""Every fenced example of the documentation: it runs, here or in another test that is named."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.otlp import receiving

from tests.conftest import PATIENCE_S, environment
from tests.docs.pages import BLOCKS, DOCS, ROOT, Block, blocks_of, commands

RECIPES = DOCS / "guide" / "recipes.md"  # tests/e2e/test_recipes.py follows each to its end
KAFKA = DOCS / "guide" / "kafka.md"  # tests/kafka/test_guide.py has brokers
WATCHING = DOCS / "guide" / "watching.md"  # tests/docs/test_watching.py
PLUGIN = ROOT / "tests" / "plugin"
PLUGINS = DOCS / "extending" / "plugins.md"
# commands that are not run here, by what they begin with or contain
NOT_RUN = {
    "make ": "needs a clone, a network and a compiler; the workflow of CI runs the same targets",
    "-m pytest": "would run the tests inside the tests",
    "kafka://": "tests/kafka/test_guide.py",
    "kcat ": "a program of others, and a broker",
    "bridge.py": "tests/kafka/test_guide.py kills it",
}
PORT = ":9464"  # others may run at the same time
COLLECTOR = "http://127.0.0.1:4318"
SERVICE = re.compile(r"http://127\.0\.0\.1:8765|https://api\.example\.com")
# whatever fails ends the block, but 3: some records failed
STRICT = """trap 'code=$?; [ $code = 3 ] || exit $code' ERR
set -o pipefail
"""
TOOLS = {"sh", "toml", "python", "json", "ini", "yaml", "text"}


def of(language: str, *without: Path) -> list[Any]:
    found = [each for each in BLOCKS if each.language == language and each.page not in without]
    return [pytest.param(block, id=block.place) for block in found if not is_of_plugin(block)]


def is_of_plugin(block: Block) -> bool:
    return block.page == PLUGINS and bool(block.name)


def test_the_guide_to_plugins_is_the_plugin() -> None:
    """Its code blocks are the files that tests of the plugin and of the contracts use."""
    shown = {block.name: block.text for block in BLOCKS if is_of_plugin(block)}
    assert shown == {name: (PLUGIN / name).read_text() for name in shown}
    assert len(shown) == 8


def scripts() -> list[Any]:
    """What is left of each shell block without the lines that are not run."""
    found = []
    for block in (each for each in BLOCKS if each.language == "sh" and each.page != RECIPES):
        lines = [line for line in commands(block) if not any(part in line for part in NOT_RUN)]
        if lines:
            found.append(pytest.param(block.page, "\n".join(lines), id=block.place))
    return found


def write_files(folder: Path, page: Path) -> None:
    """The files that the page names; what one of them does not say itself, ours does."""
    for block in blocks_of(page):
        if block.name and not is_of_plugin(block):
            known = folder / block.name
            before = known.read_text() if known.exists() else ""
            known.write_text(f"{before}\n{block.text}")


def test_every_language_is_known() -> None:
    """A block in a language that no test knows would be an example that nobody runs."""
    assert [block.place for block in BLOCKS if block.language not in TOOLS] == []


def test_ini_and_yaml_are_where_they_are_tested() -> None:
    assert {b.page for b in BLOCKS if b.language in ("ini", "yaml")} == {KAFKA, WATCHING}


def test_what_is_not_run_is_there() -> None:
    """A reason that no command needs any more goes."""
    lines = [line for b in BLOCKS if b.language == "sh" for line in commands(b)]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []


@pytest.mark.parametrize(("page", "script"), scripts())
def test_commands_run(shell: Any, url: str, folder: Path, page: Path, script: str) -> None:
    """A block as a whole: it exits 0, or 3 where records fail, and complains of nothing."""
    if "jq" in script and shutil.which("jq") is None:
        pytest.skip("there is no jq")
    write_files(folder, page)
    shell("gzip -k leads.jsonl")
    script = SERVICE.sub(url, script).replace(PORT, ":0")
    with receiving() as receiver:
        done = shell(STRICT + script.replace(COLLECTOR, receiver.url))
    assert done.returncode in (0, 3), done.stderr
    assert b"Error" not in done.stderr
    assert b"warning: traces" not in done.stderr


@pytest.mark.skipif(shutil.which("jq") is None, reason="there is no jq")
def test_the_readme_from_its_top_to_its_end(shell: Any, url: str, folder: Path) -> None:
    """Block after block in one folder, with nothing in it but what the page itself makes."""
    page = ROOT / "README.md"
    for given in ("leads.jsonl", "scoring.py", "stages.py"):
        (folder / given).unlink()
    write_files(folder, page)
    lines = [
        line for block in blocks_of(page) if block.language == "sh" for line in commands(block)
    ]
    script = "\n".join(line for line in lines if not any(part in line for part in NOT_RUN))
    done = shell(STRICT + SERVICE.sub(url, script))
    assert done.returncode in (0, 3), done.stderr


def is_of_tests(block: Block) -> bool:
    return "[[test]]" in block.text


@pytest.mark.parametrize("block", [p for p in of("toml") if is_of_tests(p.values[0])])
def test_tests_pass(shell: Any, folder: Path, block: Block) -> None:
    """What is shown of `streamproc test`."""
    write_files(folder, block.page)
    done = shell(f"streamproc test {block.name}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", [p for p in of("toml") if not is_of_tests(p.values[0])])
def test_pipeline_files_are_valid(shell: Any, folder: Path, block: Block) -> None:
    """`streamproc check` has nothing against it; secrets are in the environment."""
    write_files(folder, block.page)
    text = block.text.replace("/etc/streamproc/scoring.py", "scoring.py")
    (folder / "pipeline.toml").write_text(text)
    names = " ".join(f"{name}=secret" for name in re.findall(r"\$\{(\w+)\}", text))
    done = shell(f"{names} streamproc check pipeline.toml")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("python", RECIPES))
def test_scripts_print_what_they_say(folder: Path, block: Block) -> None:
    """`print(..)  # so`; and what prints nothing is a file that a command on its page names."""
    wanted = re.findall(r"^print\(.*\)  # (.*)|^ +print\(.*\)  # (\{.*)", block.text, re.MULTILINE)
    compile(block.text, block.place, "exec")
    if not wanted:
        lines = [line for each in blocks_of(block.page) for line in commands(each)]
        assert block.name
        assert any(block.name in line for line in lines)
        return
    (folder / "leads.jsonl").write_text('{"domain":"example.com"}\n')
    (folder / "leads.toml").write_text('[[stage]]\nbuiltin = "none"\n')
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=folder, env=environment({}),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [one or other for one, other in wanted]


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    for line in block.text.splitlines():
        assert json.loads(line)
