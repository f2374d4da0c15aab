"""`--limit`, `--skip`, `--sample`: which records of the input are wanted."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from streamproc.pipeline.selection import Selection
from tests.conftest import records, summary

pytestmark = pytest.mark.forked
COUNT = 1000
LINES = b"".join(b'{"n":%d}\n' % n for n in range(1, COUNT + 1))


def numbers(stdout: bytes) -> list[int]:
    return [record["n"] for record in records(stdout)]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--limit", "3"), [1, 2, 3]),
        (("--limit", "5000"), list(range(1, COUNT + 1))),
        (("--skip", "998"), [999, 1000]),
        (("--skip", "5000"), []),
        (("--sample", "400"), [1, 401, 801]),
        (("--skip", "5", "--sample", "10", "--limit", "3"), [6, 16, 26]),
    ],
)
def test_what_is_chosen(run: Any, arguments: Any, wanted: list[int]) -> None:
    """Skipped first, then sampled, then limited; what is passed over is counted apart."""
    done = run("-e", "none", *arguments, "--summary", "json", stdin=LINES)
    assert done.returncode == 0
    assert numbers(done.stdout) == wanted
    counts = summary(done.stderr)
    assert counts["received"] == counts["ok"] == len(wanted)
    last = wanted[-1] if "--limit" in arguments and wanted else COUNT
    assert counts["unselected"] == last - len(wanted)


def test_a_random_share(run: Any) -> None:
    """About so many, the same ones each time, others with another seed."""
    first = numbers(run("-e", "none", "--sample", "0.1", stdin=LINES).stdout)
    assert 60 < len(first) < 140
    assert numbers(run("-e", "none", "--sample", "10%", stdin=LINES).stdout) == first
    other = numbers(run("-e", "none", "--sample", "0.1", "--sample-seed", "7", stdin=LINES).stdout)
    assert other != first


def test_records_are_counted_not_lines(run: Any) -> None:
    """Blank lines are none; a line that is no JSON is one, and keeps its number."""
    lines = b'\n{"n":1}\n  \nbad\nworse\n\n{"n":4}\n'
    done = run("-e", "none", "--skip", "2", "--summary", "json", stdin=lines)
    failed, good = records(done.stdout)
    assert (failed["_error"]["line"], good["n"]) == (5, 4)
    counts = summary(done.stderr)
    assert (counts["received"], counts["malformed"], counts["blank"]) == (2, 1, 3)


def test_too_long_lines_are_records(run: Any) -> None:
    """They are passed over, and sampled, like others."""
    lines = b'{"n":1}\n{"n":"%b"}\n{"n":3}\n' % (b"x" * 100)
    arguments = ("-e", "none", "--max-line-bytes", "50", "--summary", "json")
    done = run(*arguments, "--sample", "2", stdin=lines)
    assert (done.returncode, numbers(done.stdout)) == (0, [1, 3])
    assert summary(done.stderr)["unselected"] == 1
    assert b"too_long" in run(*arguments, "--skip", "1", "--limit", "1", stdin=lines).stdout


STAGES = """
async def waits(record):
    return {"m": record["n"] + 1}


def adds(record):
    return {"m": record["n"] + 1}
"""


@pytest.mark.parametrize("stages", [("adds",), ("adds", "waits"), ("waits",), ("none", "adds")])
@pytest.mark.parametrize("more", [(), ("--unordered",), ("-w", "2")])
def test_every_engine_leaves_out_the_same(
    run: Any, folder: Path, stages: tuple[str, ...], more: tuple[str, ...]
) -> None:
    """Between the lines that are passed over, chosen ones are worked on, and keep their numbers."""
    (folder / "few.py").write_text(STAGES)
    lines = LINES.splitlines(keepends=True)
    lines[50], lines[100], lines[200] = b"no JSON\n", b"\n \n" + lines[100], b'{"n":"text"}\n'
    specs = [each for s in stages for each in ("-e", s if s == "none" else f"few.py:{s}")]
    arguments = (*specs, *more, "--sample", "5", "--summary", "json")
    done = run(*arguments, stdin=b"".join(lines))
    found = records(done.stdout)
    wrong = {each["_error"]["line"] for each in found if "_error" in each}
    good = [each for each in found if "_error" not in each]
    assert wrong == {51, 203}
    assert all(each["m"] == each["n"] + 1 for each in good)
    wanted = set(range(1, COUNT + 1, 5)) - {51, 201}
    assert sorted(each["n"] for each in good) == sorted(wanted)
    counts = summary(done.stderr)
    assert (counts["received"], counts["failed"], counts["blank"]) == (200, 2, 2)
    assert counts["unselected"] == 800


def test_a_limit_waits_for_nobody(start: Any, folder: Path) -> None:
    """It ends while the pipe is open, and what was read behind it is nobody's."""
    process = start("-e", "none", "--limit", "2", "--dead-letter", "dead", "--summary", "json")
    process.stdin.write(b'{"n":1}\n{"n":2}\n{"n":3}\n{"n":')
    assert process.stdout.read() == b'{"n":1}\n{"n":2}\n'
    assert process.wait() == 0
    assert summary(process.stderr.read())["received"] == 2
    assert (folder / "dead").read_bytes() == b""


@pytest.mark.parametrize(("piped", "order"), [(False, "--unordered"), (True, "--ordered")])
def test_a_resume_chooses_the_same(
    run: Any, start: Any, folder: Path, piped: bool, order: str
) -> None:
    """However a run was cut, all of them together choose what one in one go chooses."""
    data = b"".join(b'{"n":%d,"s":0.01}\n' % n for n in range(1, COUNT + 1))
    (folder / "in").write_bytes(data)
    chosen = ("-e", "stages.py:slow", "--skip", "20", "--sample", "0.2", "--limit", "100")
    whole = run(*chosen, "in").stdout
    kept = (*chosen, "-j", "4", order, "--checkpoint", "cp", "--resume", "-o", "out")
    first = start(*kept, *([] if piped else ["in"]))
    if piped:
        first.stdin.write(data[: len(data) // 2])
    while not (folder / "out").exists() or b"\n" not in (folder / "out").read_bytes():
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    where = {"stdin": data} if piped else {}
    last = run(*kept, *([] if piped else ["in"]), "--summary", "json", **where)
    assert last.returncode == 0, last.stderr
    written = (folder / "out").read_bytes()
    if order == "--unordered":
        assert sorted(written.splitlines()) == sorted(whole.splitlines())
    else:
        assert written == whole
    counts = summary(last.stderr)
    assert counts["received"] == 100 == counts["skipped"] + counts["ok"]


def test_a_limit_can_be_raised_by_a_resume(run: Any, folder: Path) -> None:
    """With a higher one the run goes on; another sample is another run."""
    (folder / "in").write_bytes(LINES)
    kept = ("-e", "none", "--checkpoint", "cp", "--resume", "-o", "out", "--sample", "3", "in")
    assert run(*kept, "--limit", "5").returncode == 0
    assert run(*kept, "--limit", "9").returncode == 0
    assert numbers((folder / "out").read_bytes()) == [1 + 3 * k for k in range(9)]
    assert run(*kept, "--sample", "4").returncode == 65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stop-at-end",), b"--stop-at-end is for a Kafka topic"),
        (("--sample-seed", "3"), b"--sample-seed is for a random share"),
        (("--sample", "0"), b"every tenth"),
        (("--sample", "1.5"), b"every tenth"),
        (("--limit", "0"), b"--limit"),
        (("kafka://h/t?group=g", "--skip", "3"), b"at each start of the group"),
    ],
)
def test_what_makes_no_sense(run: Any, arguments: Any, message: bytes) -> None:
    """Exit 2, before anything is read."""
    done = run("-e", "none", *arguments, stdin=LINES)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr


@pytest.mark.parametrize("sample", [1, 3, 0.3])
@pytest.mark.parametrize("limit", [None, 40])
def test_going_on_anywhere(sample: float, limit: int | None) -> None:
    """Advancing to any record and reading on is as reading from the start."""
    lines = [b"{}"] * 200

    def chosen(first: int) -> tuple[int, list[int]]:
        selection = Selection(skip=7, sample=sample, seed=2, limit=limit)
        before = selection.advance(first)
        passed = b"" if selection.is_full else selection.passed(lines[first:])
        return before, [first + i for i, is_passed in enumerate(passed) if not is_passed]

    _, whole = chosen(0)
    for first in range(200):
        before, rest = chosen(first)
        assert before == sum(n < first for n in whole)
        assert rest == whole[before:]
