"""`streamproc init`: a pipeline file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("names", [(), ("leads.toml",)])
def test_what_it_writes_works(run: Any, folder: Path, names: tuple[str, ...]) -> None:
    """The pipeline is good, its test passes, and both say what they are called."""
    name = names[0] if names else "pipeline.toml"
    test = name.replace(".toml", "_test.toml")
    done = run("init", *names)
    assert (done.returncode, done.stdout) == (0, b"")
    assert f"streamproc test {test}" in done.stderr.decode()
    assert run("check", name).returncode == 0
    assert run("test", test).stdout.endswith(b"\n1 passed\n")
    assert f"streamproc test {test}" in (folder / name).read_text()
    before = (folder / test).read_text()
    assert run("test", test, "--update").returncode == 0
    assert (folder / test).read_text() == before


@pytest.mark.parametrize("there", ["pipeline.toml", "pipeline_test.toml"])
def test_it_overwrites_nothing(run: Any, folder: Path, there: str) -> None:
    """Neither file, and then it writes none."""
    (folder / there).write_text("mine\n")
    done = run("init")
    assert (done.returncode, f"{there} exists" in done.stderr.decode()) == (73, True)
    assert (folder / there).read_text() == "mine\n"
    assert len(list(folder.glob("*.toml"))) == 1


def test_an_input_that_is_called_init(run: Any, folder: Path) -> None:
    """It is read as ./init."""
    (folder / "init").write_text('{"n":1}\n')
    assert run("./init", "-e", "none").stdout == b'{"n":1}\n'
    assert b"streamproc ./init" in run("init").stderr
