"""`streamproc init`: a pipeline file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.forked


def test_what_it_writes_works(run: Any, folder: Path) -> None:
    """The pipeline is good, its test passes, and both say what they are called."""
    done = run("init", "leads.toml")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"streamproc test leads_test.toml" in done.stderr
    assert "streamproc test leads_test.toml" in (folder / "leads.toml").read_text()
    assert run("check", "leads.toml").returncode == 0
    before = (folder / "leads_test.toml").read_text()
    done = run("test", "leads_test.toml", "--update")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"1 passed")
    assert (folder / "leads_test.toml").read_text() == before


def test_stdout_has_no_place_for_two_files(run: Any, folder: Path) -> None:
    """`-` is not the name of one."""
    done = run("init", "-")
    assert (done.returncode, done.stdout, (folder / "-").exists()) == (2, b"", False)
    assert b"two files are written: name the first" in done.stderr


def test_it_overwrites_nothing(run: Any, folder: Path) -> None:
    """Neither file, and then it writes none. An input of that name is read as ./init."""
    (folder / "init").write_text("{}\n")
    assert b"streamproc ./init" in run("init").stderr
    for there, other in (("pipeline.toml", "pipeline_test.toml"),
                         ("pipeline_test.toml", "pipeline.toml")):  # fmt: skip
        (folder / there).write_text("mine\n")
        (folder / other).unlink()
        done = run("init")
        assert (done.returncode, f"{there} exists" in done.stderr.decode()) == (73, True)
        assert (folder / there).read_text() == "mine\n"
        assert not (folder / other).exists()
        (folder / other).write_text("")
