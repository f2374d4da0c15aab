"""`--checkpoint`, `--resume` and `--ack-fd`, as users type them. `tests/torture.py` kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import summary

pytestmark = pytest.mark.forked
LINES = [b'{"n":%d}' % n for n in range(20)]
INPUT = b"".join(line + b"\n" for line in LINES)
EXPECTED = b"".join(line[:-1] + b',"ok":true}\n' for line in LINES)
CHECKPOINT = ("--checkpoint", "cp")
STAGE = ("-e", "stages.py:slow")


@pytest.fixture
def stopped(start: Any, folder: Path) -> Any:
    """A run that ended after five lines of its input; returns what it said."""

    def run_and_stop(*arguments: str, kill: bool = False, **options: Any) -> dict[str, Any]:
        process = start(*STAGE, *CHECKPOINT, "--summary", "json", *arguments, **options)
        process.stdin.write(b"".join(line + b"\n" for line in LINES[:5]) + b'{"n"')
        output = folder / "out"
        while not output.exists() or output.read_bytes().count(b"\n") < 5:
            assert process.poll() is None, process.stderr.read()
        if kill:
            while lines_done(folder) < 5:
                assert process.poll() is None
            process.kill()
            process.wait()
            return {}
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
        assert process.returncode == 143
        return summary(err)

    return run_and_stop


def lines_done(folder: Path) -> int:
    return int(json.loads((folder / "cp").read_bytes().splitlines()[-1])["progress"]["lines"])


def test_a_pipe_goes_on(stopped: Any, run: Any, folder: Path) -> None:
    """Piped in again from the start it is read over what is done, half a line included."""
    assert stopped("-o", "out")["received"] == 5
    assert lines_done(folder) == 5
    done = run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", "--summary", "json", stdin=INPUT)
    assert done.returncode == 0
    counts = summary(done.stderr)
    assert (counts["received"], counts["skipped"], counts["ok"]) == (20, 5, 15)
    assert (folder / "out").read_bytes() == EXPECTED


def test_a_redirected_output_goes_on(stopped: Any, run: Any, folder: Path) -> None:
    """With >> it is the same as with -o, and with > it is refused, for the shell empties it."""
    with open(folder / "out", "ab") as out:
        stopped(stdout=out, kill=True)
        out.write(b"half a line that was written after the checkp")
    (folder / "empty").touch()
    with open(folder / "empty", "ab") as out:
        done = run(*STAGE, *CHECKPOINT, "--resume", stdin=INPUT, stdout=out,
                   capture_output=False, stderr=subprocess.PIPE)  # fmt: skip
    assert done.returncode == 65
    assert b">> FILE" in done.stderr
    with open(folder / "out", "ab") as out:
        done = run(*STAGE, *CHECKPOINT, "--resume", stdin=INPUT, stdout=out,
                   capture_output=False, stderr=subprocess.PIPE)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / "out").read_bytes() == EXPECTED


REFUSALS = {
    "another pipe": (("-e", "stages.py:slow", "-o", "out"), INPUT.replace(b"3", b"4")),
    "a shorter pipe": (("-e", "stages.py:slow", "-o", "out"), INPUT[:20]),
    "another pipeline": (("-e", "stages.py:plain", "-o", "out"), INPUT),
    "a missing output": (("-e", "stages.py:slow", "-o", "other"), INPUT),
    "a pipe for a file": (("-e", "stages.py:slow"), INPUT),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_does_not_fit_is_refused(what: str, stopped: Any, run: Any, folder: Path) -> None:
    """Nothing is cut, nothing is created, and the message says what is wrong."""
    stopped("-o", "out")
    kept = (folder / "cp").read_bytes()
    with open(folder / "out", "ab") as out:
        out.write(b"something")
    arguments, data = REFUSALS[what]
    done = run(*arguments, *CHECKPOINT, "--resume", stdin=data)
    assert done.returncode == 65
    assert done.stderr.startswith(b"streamproc: ")
    assert (folder / "out").read_bytes().endswith(b"something")
    assert not (folder / "other").exists()
    assert (folder / "cp").read_bytes() == kept


def test_an_output_that_was_changed_is_refused(stopped: Any, run: Any, folder: Path) -> None:
    """Who edits the output in between is told, and keeps what was edited."""
    stopped("-o", "out")
    (folder / "out").write_bytes(b"x" + (folder / "out").read_bytes()[1:])
    done = run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", stdin=INPUT)
    assert done.returncode == 65
    assert b"out is not the output of the checkpoint" in done.stderr


def test_another_pipeline_by_force(stopped: Any, run: Any, folder: Path) -> None:
    """The rest is done differently when that is said; other limits need no force."""
    stopped("-o", "out")
    arguments = ("-e", "stages.py:plain", *CHECKPOINT, "--resume-force", "-o", "out")
    assert run(*arguments, stdin=INPUT).returncode == 0
    assert (folder / "out").read_bytes() == EXPECTED


def test_other_limits_are_the_same_pipeline(stopped: Any, run: Any, folder: Path) -> None:
    """How something is done may change, what is done may not."""
    stopped("-o", "out")
    more = ("--resume", "--timeout", "7", "-j", "3", "--unordered")
    assert run(*STAGE, *CHECKPOINT, *more, "-o", "out", stdin=INPUT).returncode == 0


def test_who_forgets_resume_loses_nothing(stopped: Any, run: Any, folder: Path) -> None:
    """An unfinished checkpoint is not overwritten; a finished one may be."""
    stopped("-o", "out")
    done = run(*STAGE, *CHECKPOINT, "-o", "out", stdin=INPUT)
    assert done.returncode == 65
    assert b"--resume" in done.stderr
    assert (folder / "out").read_bytes().count(b"\n") == 5
    for more in (("--resume",), ()):
        assert run(*STAGE, *CHECKPOINT, *more, "-o", "out", stdin=INPUT).returncode == 0
        assert (folder / "out").read_bytes() == EXPECTED


def test_without_a_checkpoint_it_starts_at_the_start(run: Any, folder: Path) -> None:
    """So the same command serves first and later starts; but not over data of nobody knows what."""
    assert run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", stdin=INPUT).returncode == 0
    assert (folder / "out").read_bytes() == EXPECTED
    (folder / "cp").unlink()
    done = run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", stdin=INPUT)
    assert (done.returncode, (folder / "out").read_bytes()) == (65, EXPECTED)


def test_a_grown_input_goes_on(run: Any, folder: Path) -> None:
    """A log that got more lines: resuming does those."""
    for size in (5, 12, 20):
        (folder / "in").write_bytes(b"".join(line + b"\n" for line in LINES[:size]))
        done = run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", "in")
        assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / "out").read_bytes() == EXPECTED


def test_an_abort_leaves_the_rest_to_the_next_run(start: Any, run: Any, folder: Path) -> None:
    """Not one unfinished record goes to the dead letters, or is annotated."""
    more = ("--on-error", "dead-letter", "--dead-letter", "dead", "--summary", "json")
    process = start("-e", "stages.py:seen", *CHECKPOINT, *more, "-o", "out")
    process.stdin.write(b'{"n":1}\n{"n":2,"s":1000}\n{"n":3}\n')
    while not (folder / "seen").exists() or (folder / "seen").stat().st_size < 3:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # two alike may arrive as one
    _, err = process.communicate()
    counts = summary(err)
    assert (process.returncode, counts["ok"], counts["unprocessed"]) == (75, 1, 2)
    assert (folder / "dead").read_bytes() == b""
    text = b'{"n":1}\n{"n":2,"s":0}\n{"n":3}\n'
    assert run(*STAGE, *CHECKPOINT, "--resume", "-o", "out", stdin=text).returncode == 65


@pytest.mark.parametrize("arguments", [("--resume",), ("--ack-fd", "77")])
def test_usage(run: Any, arguments: tuple[str, ...]) -> None:
    """What makes no sense is said before anything is read."""
    done = run(*STAGE, *arguments, stdin=INPUT)
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_checkpoint_that_cannot_be_created(run: Any) -> None:
    """Said at the start, not after the first second."""
    done = run(*STAGE, "--checkpoint", "no/such/cp", stdin=INPUT)
    assert (done.returncode, done.stdout) == (73, b"")


def test_two_runs_do_not_share_a_checkpoint(stopped: Any, start: Any, run: Any) -> None:
    """A deploy may start the next run before the last has ended."""
    stopped("-o", "out")
    arguments = (*STAGE, *CHECKPOINT, "--resume", "-o", "out")
    first = start(*arguments)
    while (done := run(*arguments, stdin=INPUT)).returncode == 0:
        if first.poll() is not None:  # it came when the other one was there
            assert (first.returncode, b"in use" in first.stderr.read()) == (73, True)
            first = start(*arguments)
    assert (done.returncode, b"in use" in done.stderr) == (73, True)
    assert first.poll() is None


def test_acknowledgements(start: Any) -> None:
    """Lines done without a gap, blank ones too: rising, and all of them at the end."""
    ours, theirs = os.pipe()
    process = start(*STAGE, "--ack-fd", str(theirs), pass_fds=(theirs,))
    os.close(theirs)
    with os.fdopen(ours, "rb") as acks:
        process.stdin.write(b'{"n":1}\n\n{"n":2,"s":0.3}\n{"n":3}\n')
        counts = [int(acks.readline())]
        process.stdin.close()
        counts += [int(line) for line in acks]
    assert counts == sorted(set(counts))
    assert counts[0] <= 2
    assert counts[-1] == 4
    assert process.wait() == 0


def test_a_file_keeps_what_was_acknowledged(start: Any, folder: Path) -> None:
    """Who goes on after the last count finds both parts in it; a torn line comes whole."""
    for lines in (INPUT[: INPUT.index(b"\n") + 1], INPUT[INPUT.index(b"\n") + 1 :]):
        with (folder / "done").open("wb") as acks:
            fd = acks.fileno()
            process = start("-e", "none", "-o", "out", "--ack-fd", str(fd), pass_fds=(fd,))
            process.communicate(lines)
        assert process.returncode == 0
        assert int((folder / "done").read_bytes().split()[-1]) == lines.count(b"\n")
        with (folder / "out").open("ab") as out:
            out.write(b'{"n":')  # the process died over it, unacknowledged
    assert (folder / "out").read_bytes() == INPUT + b'{"n":'


def test_nobody_reads_the_acknowledgements(start: Any) -> None:
    """A full pipe delays nothing; when it is read again the last count comes."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"0\n" * 2048)
    except BlockingIOError:
        os.set_blocking(theirs, True)
    process = start("-e", "none", "--unordered", "--ack-fd", str(theirs), pass_fds=(theirs,))
    os.close(theirs)
    process.stdin.write(INPUT)
    out = b""
    while out.count(b"\n") < len(LINES):
        out += process.stdout.read(1)
    with os.fdopen(ours, "rb") as acks:
        process.stdin.close()
        assert acks.read().split()[-1] == b"20"
    assert process.wait() == 0


def test_who_acknowledges_keeps_the_rest(start: Any) -> None:
    """A script that knows what is done needs no dead letters for what is not."""
    ours, theirs = os.pipe()
    process = start("-e", "stages.py:slow", "--ack-fd", str(theirs), "--summary", "json",
                    pass_fds=(theirs,))  # fmt: skip
    os.close(theirs)
    process.stdin.write(b'{"n":1}\n{"n":2,"s":1000}\n')
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # two alike may arrive as one
    out, err = process.communicate()
    assert (process.returncode, out) == (75, b"")
    assert summary(err)["unprocessed"] == 1
    with os.fdopen(ours, "rb") as acks:
        assert acks.read().split()[-1] == b"1"
