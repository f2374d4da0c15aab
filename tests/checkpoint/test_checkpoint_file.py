"""The checkpoint file: one owner, never half written, and old entries when the newest is torn."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from streamproc.checkpoint.entry import KEPT, CheckpointFile, Entry
from streamproc.codec import retyped
from streamproc.errors import CreateError, DecodeError, ResumeError
from streamproc.fingerprint import Bookmark
from streamproc.record import Progress


def entry_at(lines: int, pipeline: str = "p") -> Entry:
    return Entry(
        time="now", pipeline=pipeline, finished=False, progress=Progress(lines),
        input={"at": lines}, output=None, dead_letters=None,
    )  # fmt: skip


def opened(path: Path) -> CheckpointFile:
    file = CheckpointFile(str(path))
    file.open()
    return file


def saved(path: Path, *lines: int) -> None:
    file = opened(path)
    for each in lines:
        file.save(entry_at(each))
    file.close()


def test_what_was_saved_is_there(tmp_path: Path) -> None:
    saved(tmp_path / "state", 1, 2)
    file = CheckpointFile(str(tmp_path / "state"))
    assert file.open() is True
    assert [(e.progress.lines, e.input) for e in file.entries] == [(1, {"at": 1}), (2, {"at": 2})]
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_a_run_that_saved_nothing_leaves_nothing(tmp_path: Path) -> None:
    file = CheckpointFile(str(tmp_path / "state"))
    assert file.open() is False
    assert [each.name for each in tmp_path.iterdir()] == ["state"]  # it can be locked
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_it_has_one_owner(tmp_path: Path) -> None:
    """Also after it was replaced by a save; and the next one has it when it was closed."""
    first = opened(tmp_path / "state")
    for _ in range(2):
        with pytest.raises(CreateError, match="in use by another streamproc"):
            opened(tmp_path / "state")
        first.save(entry_at(1))
    first.close()
    opened(tmp_path / "state").close()


def test_only_the_last_entries_are_kept(tmp_path: Path) -> None:
    saved(tmp_path / "state", *range(KEPT + 3))
    assert [e.progress.lines for e in opened(tmp_path / "state").entries] == [*range(3, KEPT + 3)]


def test_an_entry_at_the_same_place_takes_the_place_of_the_last(tmp_path: Path) -> None:
    """A run with nothing to do pushes nothing older out."""
    saved(tmp_path / "state", 1, 2, 2, 2)
    assert [e.progress.lines for e in opened(tmp_path / "state").entries] == [1, 2]


def test_a_torn_end_leaves_what_is_before_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    saved(path, 1, 2, 3)
    path.write_bytes(path.read_bytes()[:-10])
    assert [e.progress.lines for e in opened(path).entries] == [1, 2]


@pytest.mark.parametrize("data", [b"", b"no checkpoint\n", b'{"version":0}\n'])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(data)
    with pytest.raises(ResumeError, match="is no checkpoint of this version"):
        opened(path)
    assert path.read_bytes() == data


def test_only_its_owner_reads_it_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "state"
    saved(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    saved(path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "state"
    path.symlink_to(tmp_path / "real" / "state")
    saved(path, 1)
    assert path.is_symlink()
    assert [each.name for each in (tmp_path / "real").iterdir()] == ["state"]


PIPE = {"type": "pipe", "offset": 3, "sha256": "x"}
FILE = {"type": "file", "offset": 3, "size": 3, "head": "", "tail": "", "device": 1, "inode": 1}


@pytest.mark.parametrize("mark", [PIPE, FILE])
@pytest.mark.parametrize("number", [-1, 1 << 63, 10**30, 1.5, "3"])
@pytest.mark.parametrize("name", ["offset", "line", "skip"])
def test_a_place_that_no_input_has_is_none(mark: dict[str, Any], number: Any, name: str) -> None:
    """Who damages a checkpoint is told so, and meets no call with a number that it refuses."""
    place = {"marks": [mark], "line": 4, "skip": 0}
    assert retyped(Bookmark, place).marks[0].offset == 3
    damaged = place | {"marks": [mark | {name: number}]} if name in mark else place | {name: number}
    with pytest.raises(DecodeError):
        retyped(Bookmark, damaged)
    with pytest.raises(DecodeError):
        retyped(Bookmark, place | {"marks": []})


@pytest.mark.parametrize("done", [[[-1, 2]], [[0, 10**30]], [[1]]])
def test_progress_that_no_run_makes_is_damaged(tmp_path: Path, done: Any) -> None:
    saved(tmp_path / "state", 1)
    text = (tmp_path / "state").read_text()
    (tmp_path / "state").write_text(text.replace('"done":[]', f'"done":{json.dumps(done)}'))
    with pytest.raises(ResumeError, match="is damaged"):
        opened(tmp_path / "state")
