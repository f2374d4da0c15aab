"""What failed is told without a terminal too: the first of each kind at once, all at the end."""

import json
from typing import Any

import pytest

from tests.conftest import records, summary

pytestmark = pytest.mark.forked
STAGE = """
import asyncio, streamproc

async def judge(record):
    n = record["n"]
    await asyncio.sleep(record.get("s", 0))
    if n % 3 == 0:
        raise ValueError("bad \\x1b[31m number")
    if n % 5 == 0:
        raise streamproc.RecordError("nonsense", "five")

async def motley(record):
    raise streamproc.RecordError("kind-%d" % (record["n"] % 5000), "x" * 10_000)
"""
LINES = b"".join(b'{"n":%d}\n' % n for n in range(1, 13)) + b"oops\n"


@pytest.fixture(autouse=True)
def judge(folder: Any) -> None:
    (folder / "judge.py").write_text(STAGE)
    (folder / "leads.jsonl").write_bytes(LINES)


def told(done: Any) -> list[str]:
    """What was said of failures, the log apart."""
    lines = done.stderr.decode().splitlines()
    return [line for line in lines if "warning:" not in line and line.startswith("streamproc:")]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("more", [(), ("--unordered",), ("--on-error", "drop"),
                                  ("--dead-letter", "dead.jsonl")])  # fmt: skip
def test_one_digest_at_the_end(run: Any, workers: str, more: tuple[str, ...]) -> None:
    """How many failed, by kind, the most frequent first, with where and what the first ones said;
    whatever becomes of failed records, and whoever did the work."""
    done = run("-e", "judge.py:judge", "-w", workers, "--log-level", "warning", *more,
               "--no-progress", "leads.jsonl")  # fmt: skip
    assert done.returncode == 3
    said = told(done)
    said = [line for line in said if "note:" not in line]
    if "--unordered" not in more:
        assert said[0] == (
            "streamproc: 7 failed: 4 × exception in judge: ValueError: bad \\x1b[31m number "
            "(leads.jsonl:3, 6, 9, …)"
        )
        assert said[1] == "streamproc: 2 × nonsense in judge: five (leads.jsonl:5, 10)"
    assert said[0].startswith("streamproc: 7 failed: 4 × exception in judge: ValueError")
    assert said[2].startswith("streamproc: 1 × malformed in decode: ")
    assert said[2].endswith("(leads.jsonl:13)")
    assert len(said) == 3


def test_the_first_of_each_kind_is_told_when_it_happens(start: Any) -> None:
    """Not when its turn to be written comes: a slow record is in front of it."""
    process = start("-e", "judge.py:judge", "--timeout", "1000")
    process.stdin.write(b'{"n":1,"s":1000}\n{"n":3}\n{"n":6}\n{"n":5}\n')
    lines = [process.stderr.readline() for _ in range(2)]
    assert lines[0].startswith(b"streamproc: warning: <stdin>:2: exception in judge: ValueError")
    assert lines[1].startswith(b"streamproc: warning: <stdin>:4: nonsense in judge: five")
    process.kill()
    assert process.stdout.read() == b""


def test_ten_groups_at_most_and_bounded_memory(run: Any) -> None:
    """Whoever chooses kinds and messages fills neither the terminal nor the memory."""
    many = b"".join(b'{"n":%d}\n' % n for n in range(10_000))
    done = run("-e", "judge.py:motley", "--on-error", "drop", "--summary", "json", stdin=many)
    assert summary(done.stderr)["dropped"] == 10_000
    said = told(done)
    assert len(said) == 11
    assert said[0].startswith("streamproc: 10,000 failed: 2 × kind-0 in motley: xxx")
    assert said[0].endswith("(<stdin>:1, 5001)")
    assert said[-1] == "streamproc: and 9,980 of other kinds"
    assert max(map(len, said)) < 600
    assert done.stderr.count(b"the first of its kind") == 100


@pytest.mark.parametrize("quiet", [("--summary", "none"), ("--log-level", "error")])
def test_it_can_be_silenced(run: Any, quiet: tuple[str, str]) -> None:
    done = run("-e", "judge.py:judge", "--no-progress", *quiet, "leads.jsonl")
    assert (done.returncode, told(done)) == (3, [])
    assert (done.stderr == b"") == (quiet[0] == "--log-level")


def test_nothing_is_told_where_nothing_failed(run: Any) -> None:
    done = run("-e", "judge.py:judge", stdin=b'{"n":1}\n')
    assert (done.returncode, done.stderr) == (0, b"")


def test_in_a_log_of_json_it_is_one_line(run: Any) -> None:
    done = run("-e", "judge.py:judge", "--log-format", "json", "leads.jsonl")
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert {entry["level"] for entry in entries} == {"warning"}
    assert len(entries) == 4
    assert entries[-1]["message"].startswith("7 failed: 4 × exception in judge: ValueError")


def test_what_an_abort_left_is_not_failed(start: Any, folder: Any) -> None:
    """The digest has what the summary has: a failed record that was not written is not in it."""
    (folder / "more.jsonl").write_bytes(b'{"n":3}\n{"n":1,"s":1000}\n{"n":6}\n')
    process = start("-e", "judge.py:judge", "--timeout", "1000", "--drain-timeout", "0.5",
                    "--checkpoint", "cp", "-o", "out", "--summary", "json",
                    "more.jsonl")  # fmt: skip
    assert b"the first of its kind" in process.stderr.readline()
    process.send_signal(15)
    _, stderr = process.communicate()
    counts = summary(stderr)
    assert (counts["failed"], counts["unprocessed"], process.returncode) == (1, 2, 75)
    assert b"streamproc: 1 failed: 1 \xc3\x97 exception in judge" in stderr
    assert len(records((folder / "out").read_bytes())) == 1
