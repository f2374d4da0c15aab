"""Files that have grown between two runs: inputs that somebody writes, outputs that are shared."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import summary

pytestmark = pytest.mark.forked
TEXT = b'{"n":1}\n\n{"n":22}\nbad\n{"n":333}\n{"n":4444}\n'
RUN = ("-e", "stages.py:plain", "--summary", "json", "--max-line-bytes", "200")
CHECKPOINT = ("--checkpoint", "cp", "--resume", "-o", "out")

# where the writer of the input was when it was read
CUTS = {
    "inside a line": [4, 21],
    "inside one line, again and again": [10, 12, 12, 12, 12, 12, 14],
    "before its newline, and after it": [7, 8, 17, 18],
    "bad before it is whole": [19, 20],
}


@pytest.mark.parametrize(("how", "order"), [("in", "--ordered"), ("<", "--unordered")])
@pytest.mark.parametrize("what", CUTS)
def test_a_half_written_line_is_done_when_it_is_whole(
    what: str, how: str, order: str, run: Any, folder: Path
) -> None:
    """The result is that of reading the whole file in one go, and so is the account."""
    for size in (*CUTS[what], len(TEXT)):
        (folder / "in").write_bytes(TEXT[:size])
        with open(folder / "in", "rb") as file:
            given = {"stdin_file": file} if how == "<" else {}
            names = () if how == "<" else ("in",)
            done = run(*RUN, *CHECKPOINT, order, *names, **given)
        assert done.returncode in (0, 3), done.stderr
    counts = summary(done.stderr)
    whole = run(*RUN, "in" if how == "in" else "-", stdin=TEXT)
    assert (folder / "out").read_bytes() == whole.stdout
    wanted = summary(whole.stderr)
    assert (counts["received"], counts["blank"]) == (wanted["received"], wanted["blank"])


def test_a_pipe_that_grew_in_the_middle_of_a_line(run: Any, folder: Path) -> None:
    """Nothing of it is guessed: it is refused. With its newline, and more lines, it goes on."""
    assert run(*RUN, *CHECKPOINT, stdin=TEXT[:20]).returncode == 3
    done = run(*RUN, *CHECKPOINT, stdin=TEXT)
    assert (done.returncode, b"whole lines" in done.stderr) == (65, True)
    for name in ("cp", "out"):
        (folder / name).unlink()
    assert run(*RUN, *CHECKPOINT, stdin=TEXT[:17]).returncode == 0
    done = run(*RUN, *CHECKPOINT, stdin=TEXT)
    assert summary(done.stderr)["received"] == 5
    assert (folder / "out").read_bytes() == run(*RUN, stdin=TEXT).stdout


@pytest.mark.parametrize("first", ["a", "-"])
def test_lines_added_to_an_input_that_is_behind(first: str, run: Any, folder: Path) -> None:
    """They have no place in the output any more: said, and not passed over."""
    (folder / "a").write_bytes(TEXT)
    (folder / "b").write_bytes(TEXT)
    assert run(*RUN, *CHECKPOINT, first, "b", stdin=TEXT).returncode == 3
    (folder / "a").write_bytes(TEXT * 2)
    done = run(*RUN, *CHECKPOINT, first, "b", stdin=TEXT * 2)
    assert (done.returncode, b"only the last input may grow" in done.stderr) == (65, True)
    (folder / "a").write_bytes(TEXT)
    (folder / "b").write_bytes(TEXT * 2)
    done = run(*RUN, *CHECKPOINT, first, "b", stdin=TEXT)
    assert summary(done.stderr)["received"] == 15
    assert (folder / "out").read_bytes().count(b"\n") == 15


@pytest.mark.parametrize("end", ["finished", "stopped"])
@pytest.mark.parametrize("how", ["-o", ">>"])
def test_what_others_append_stays(how: str, end: str, start: Any, run: Any, folder: Path) -> None:
    """What was repaired and appended after a run had ended is there after the next one."""
    more = ("-e", "stages.py:plain", "--checkpoint", "cp", "--resume", "--on-error",
            "dead-letter", "--dead-letter", "dead")  # fmt: skip

    def again(text: bytes) -> None:
        with open(folder / "out", "ab") as out:
            to = {"stdout": out} if how == ">>" else {}
            names = ("-o", "out") if how == "-o" else ()
            if end == "finished" or text != TEXT:
                done = run(*more, *names, stdin=text, capture_output=False, **to)
                assert done.returncode == 3
                return
            process = start(*more, *names, **to)
            process.stdin.write(text)
            while (folder / "out").read_bytes().count(b"\n") < 4:
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 143

    again(TEXT)
    repaired = b'{"n":5,"ok":true,"repaired":true}\n'
    letter = b'{"raw":"other"}\n'
    for name, text in (("out", repaired), ("dead", letter)):
        with open(folder / name, "ab") as file:
            file.write(text)
    again(TEXT + b'{"n":6}\nworse\n')
    out = (folder / "out").read_bytes()
    assert out.count(repaired) == 1
    assert out.endswith(b'{"n":6,"ok":true}\n')
    assert out.count(b"\n") == 6
    dead = (folder / "dead").read_bytes()
    assert (dead.count(letter), dead.count(b"\n")) == (1, 3)


def test_what_others_append_without_a_newline_stays(run: Any, folder: Path) -> None:
    """It gets the newline that it lacks."""
    assert run(*RUN, *CHECKPOINT, stdin=b'{"n":1}\n').returncode == 0
    with open(folder / "out", "ab") as out:
        out.write(b'{"n":2}')
    assert run(*RUN, *CHECKPOINT, stdin=b'{"n":1}\n{"n":3}\n').returncode == 0
    assert (folder / "out").read_bytes() == b'{"n":1,"ok":true}\n{"n":2}\n{"n":3,"ok":true}\n'
