"""Files that somebody has edited between two runs: refused, and left as they are."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, environment

pytestmark = pytest.mark.forked
STAGE = """
import asyncio
from pathlib import Path

async def held(record):
    n = record["n"]
    while n in (1000, 2500) and not (Path(f"go-{n}").exists() or Path("go").exists()):
        await asyncio.sleep(0.01)
    if n % 10 == 0:
        raise ValueError("every tenth")
    return {"ok": True}
"""
INPUT = b"".join(b'{"n":%d,"pad":"%s"}\n' % (n, b"abc" * (n % 40)) for n in range(3000))
ARGUMENTS = ("-e", "stages.py:held", "--on-error", "dead-letter", "--dead-letter", "dead",
             "--checkpoint", "cp", "--resume", "-o", "out", "in")  # fmt: skip


def entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / "cp"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed at record 2500, with a checkpoint at 1000, too."""
    import subprocess

    folder = tmp_path_factory.mktemp("killed")
    (folder / "stages.py").write_text(STAGE)
    (folder / "in").write_bytes(INPUT)
    process = subprocess.Popen([*COMMAND, *ARGUMENTS], cwd=folder, env=environment({}))
    try:
        for n in (1000, 2500):
            place = None  # twice the same: all that can be written is in the checkpoint
            while process.poll() is None:
                size = (folder / "out").stat().st_size if (folder / "out").exists() else 0
                found = entries(folder)
                if size and found and found[-1]["output"]["offset"] == size == place:
                    break
                place = size
                time.sleep(0.1)
            (folder / f"go-{n}").touch()
            if n == 2500:
                process.kill()
    finally:
        process.kill()
        process.wait()
    (folder / "go").touch()
    return folder


Edit = Callable[[Path, dict[str, Any]], object]


def changed(name: str, where: Callable[[dict[str, Any]], float]) -> Edit:
    """One byte of a file is another one."""

    def edit(folder: Path, places: dict[str, Any]) -> None:
        with open(folder / name, "r+b") as file:
            file.seek(int(where(places)))
            was = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(b"z" if was != b"z" else b"y")

    return edit


def cut(name: str, size: int = 0) -> Edit:
    return lambda folder, _: os.truncate(folder / name, size)


EDITS: dict[str, Edit] = {
    "input, first byte": changed("in", lambda p: 5),
    "input, in the middle": changed("in", lambda p: p["in"] / 2),
    "input, at the end": changed("in", lambda p: p["in"] - 5),
    "input, a line more": lambda f, _: (f / "in").write_bytes(b'{"n":1}\n' + INPUT),
    "output, missing": lambda f, _: (f / "out").unlink(),
    "output, emptied": cut("out"),
    "output, first byte": changed("out", lambda p: 1),
    "output, in the middle": changed("out", lambda p: p["before"] / 2),
    "output, after an older entry": changed("out", lambda p: (p["before"] + p["out"]) / 2),
    "output, at the end": changed("out", lambda p: p["out"] - 2),
    "dead letters, missing": lambda f, _: (f / "dead").unlink(),
    "dead letters, emptied": cut("dead"),
    "dead letters, in the middle": changed("dead", lambda p: p["dead"] / 2),
    "dead letters, at the end": changed("dead", lambda p: p["dead"] - 2),
    "checkpoint, emptied": cut("cp"),
}


@pytest.fixture
def folder(killed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(killed, tmp_path / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_is_refused(what: str, folder: Path, run: Any) -> None:
    """Wherever it is before the checkpoint; and not one byte of any file is changed."""
    before, newest = (each for each in entries(folder)[-2:])
    places = {
        "in": newest["input"]["marks"][0]["offset"],
        "before": before["output"]["offset"],
        "out": newest["output"]["offset"],
        "dead": newest["dead_letters"]["offset"],
    }
    assert 2 * 4096 < places["before"] < places["out"] - 2 * 4096
    EDITS[what](folder, places)
    kept = content(folder)
    done = run(*ARGUMENTS)
    assert (done.returncode, done.stdout) == (65, b"")
    assert done.stderr.startswith(b"streamproc: ")
    assert content(folder) == kept


LOST: dict[str, Edit] = {
    "nothing": lambda f, _: None,
    "the end": lambda f, p: os.truncate(f / "out", p - 1000),
    "a block": lambda f, p: os.pwrite(os.open(f / "out", os.O_WRONLY), bytes(512), p - 2000),
    "both ends": lambda f, p: (
        os.truncate(f / "out", p - 1000),
        os.truncate(f / "dead", (f / "dead").stat().st_size - 1000),
    ),
}


@pytest.mark.parametrize("what", LOST)
def test_what_a_machine_lost_is_done_again(what: str, folder: Path, run: Any) -> None:
    """A shorter file, or zeros in it, are no edits: an older entry fits, and goes on from there."""
    LOST[what](folder, entries(folder)[-1]["output"]["offset"])
    assert run(*ARGUMENTS).returncode == 3
    resumed = content(folder)
    for name in ("out", "dead", "cp"):
        (folder / name).unlink()
    assert run(*ARGUMENTS).returncode == 3
    assert content(folder)["out"] == resumed["out"]
    assert content(folder)["dead"] == resumed["dead"]
