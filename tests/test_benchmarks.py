"""What is said of two checkouts, and what is kept of a measurement."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, rows
from benchmarks.jobs import Job
from benchmarks.measure import Sample, Samples


def samples(*cpu_s: float) -> Samples:
    return Samples(runs=[Sample(each * 2, 0.0, each, 0.0, 0) for each in cpu_s])


@pytest.mark.parametrize(
    ("here", "other", "more"),
    [((1.0, 1.3), (1.0, 1.1), 0), ((1.1, 1.2), (1.0, 9.0), 10), ((0.5, 3.0), (1.0, 1.0), -50)],
)
def test_the_least_decides(here: tuple[float, ...], other: tuple[float, ...], more: float) -> None:
    """What else the machine did in the other runs says nothing."""
    assert compare.more_percent(samples(*here), samples(*other)) == pytest.approx(more)


TREE = """
import sys
from pathlib import Path

Path({ran!r}).touch()
sys.stdout.write(sys.stdin.read())
"""


@pytest.mark.parametrize(("here_s", "code"), [(0.02, 0), (0.104, 0), (0.106, 1), (0.4, 1)])
def test_a_slower_checkout_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    here_s: float,
    code: int,
) -> None:
    """Each tree runs its own code, and 5% decide over the exit code."""
    for name in ("here", "there"):
        (tmp_path / name / "streamproc").mkdir(parents=True)
        (tmp_path / name / "streamproc" / "__init__.py").touch()  # else the installed one is it
        text = TREE.format(ran=str(tmp_path / f"{name} ran"))
        (tmp_path / name / "streamproc" / "__main__.py").write_text(text)

    def check_out(ref: str, folder: Path) -> None:
        (folder / "streamproc").symlink_to(tmp_path / ref / "streamproc")

    def alternate(sides: dict[str, Any], rounds: int, say: Any) -> dict[str, Samples]:
        for run in sides.values():
            run(True)
        return {"here": samples(here_s), "there": samples(0.1)}

    class Jobs:
        def __enter__(self) -> list[Job]:
            return [Job("one", 1, []), Job("two", 1, [])]

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(compare, "alternate", alternate)
    monkeypatch.setattr(compare, "jobs", Jobs)
    monkeypatch.setattr(compare, "check_out", check_out)
    monkeypatch.setattr(compare, "HERE", tmp_path / "here" / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["compare", "there", "--rounds", "2", "--only", "one"])
    assert compare.main() == code
    out, err = capsys.readouterr()
    assert "one" in out
    assert "two" not in out
    assert ("slower: one" in err) == bool(code)
    assert {each.name for each in tmp_path.glob("* ran")} == {"here ran", "there ran"}


def test_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine is compared with the last run of its class."""
    history = tmp_path / "history.jsonl"
    assert rows.last(history, "small") == {}
    for machine, cpu_s in (("small", 1.0), ("small", 2.0), ("large", 3.0)):
        monkeypatch.setattr(rows, "machine", lambda machine=machine: machine)
        rows.keep(history, {"none": {"records": 10, **rows.seconds(samples(cpu_s, cpu_s + 1))}})
    before = rows.last(history, "small")["none"]
    assert before == {"records": 10, "wall_s": [4.0, 5.0], "cpu_s": [2.0, 2.5]}
    job = Job("none", 10, [])
    assert rows.line(job, before | {"limit": before}, before).split()[-2:] == ["1.00", "1.00"]
