"""Files with data of records are their owner's, and nobody writes through a link of another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def generous() -> Any:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_new_is_the_owners(run: Any, folder: Path) -> None:
    """Checkpoint and dead letters; the output is as any command's."""
    files = ("-o", "out", "--on-error", "dead-letter", "--dead-letter", "dead")
    assert run(*files, "--checkpoint", "c", stdin=b"{}\nbad\n").returncode == 3
    assert [mode(folder / name) for name in ("out", "dead", "c")] == [0o644, 0o600, 0o600]


def test_what_was_there_keeps_its_mode(run: Any, folder: Path) -> None:
    """Who may read it is for the user to say."""
    files = ("--on-error", "dead-letter", "--dead-letter", "dead", "--checkpoint", "c")
    assert run(*files, stdin=b"bad\n").returncode == 3
    for name in ("dead", "c"):
        (folder / name).chmod(0o640)
    assert run(*files, "--resume", stdin=b"bad\nbad\n").returncode == 3
    assert [mode(folder / name) for name in ("dead", "c")] == [0o640, 0o640]
    assert (folder / "dead").read_bytes().count(b"\n") == 2


def test_a_link_in_the_way_is_not_followed(run: Any, folder: Path) -> None:
    """Whoever put it beside the checkpoint: what it points to stays as it was."""
    (folder / "victim").write_bytes(b"precious")
    (folder / "c.new").symlink_to("victim")
    done = run("--checkpoint", "c", stdin=b"{}\n")
    assert (done.returncode, (folder / "victim").read_bytes()) == (0, b"precious")
    assert not (folder / "c").is_symlink()
    assert not os.path.lexists(folder / "c.new")


def test_what_a_killed_run_left_is_replaced(run: Any, folder: Path) -> None:
    (folder / "c.new").write_bytes(b"half a checkpo")
    assert run("--checkpoint", "c", stdin=b"{}\n").returncode == 0
    assert not (folder / "c.new").exists()


def test_links_that_the_user_names_are_opened(run: Any, folder: Path) -> None:
    """They stay links, and what they point to is written."""
    (folder / "there").mkdir()
    for name in ("c", "dead", "out"):
        (folder / name).symlink_to(f"there/{name}")
    files = ("-o", "out", "--on-error", "dead-letter", "--dead-letter", "dead")
    for more in ((), ("--resume",)):
        assert run(*files, "--checkpoint", "c", *more, stdin=b"bad\n{}\n").returncode in (0, 3)
    assert all((folder / name).is_symlink() for name in ("c", "dead", "out"))
    assert all((folder / "there" / name).stat().st_size for name in ("c", "dead", "out"))


def test_descriptors_that_the_user_names_are_opened(run: Any, folder: Path) -> None:
    """`--dead-letter /dev/fd/N`, as shells have it."""
    with (folder / "letters").open("wb") as letters:
        name = f"/dev/fd/{letters.fileno()}"
        done = run(
            "--on-error", "dead-letter", "--dead-letter", name, stdin=b"bad\n",
            pass_fds=(letters.fileno(),),
        )  # fmt: skip
    assert done.returncode == 3
    assert b'"raw":"bad"' in (folder / "letters").read_bytes()


def test_a_checkpoint_that_is_no_file_is_refused(run: Any, folder: Path) -> None:
    """A pipe, or a device that never ends, would be read for ever."""
    os.mkfifo(folder / "c")
    done = run("--checkpoint", "c", "-o", "out", stdin=b"{}\n")
    assert (done.returncode, (folder / "out").exists()) == (73, False)
    assert b"checkpoint c is not a file" in done.stderr
