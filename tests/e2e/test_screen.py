"""What a person sees on a terminal while a run goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

from tests.terminal import LINES, Terminal

pytestmark = pytest.mark.forked

STAGES = """
import asyncio, logging, os, sys

async def held(record):
    while not os.path.exists(record.get("until", ".")):
        await asyncio.sleep(0.01)
    await asyncio.sleep(record.get("s", 0))
    return {"ok": True}

async def talks(record):
    if "say" in record:
        print(record["say"])
        print(record["say"], "on stderr", file=sys.stderr, flush=True)
        logging.getLogger("mine").warning("%s in the log", record["say"])
        sys.stdout.flush()
    return await held(record)
"""
SUMMARY = "streamproc: "
MORE = b'{"n":1}\n' * 500


@pytest.fixture(scope="module")
def server() -> Any:
    with Server() as server:
        yield server


@pytest.fixture
def see(process_of: Any, tmp_path: Path) -> Any:
    """Run the command on a terminal; it is ended with the test."""
    seen: list[Terminal] = []
    (tmp_path / "stages.py").write_text(STAGES)

    def run(*arguments: str, given: bytes | None = None, **options: Any) -> Terminal:
        if given is not None:
            (tmp_path / "in").write_bytes(given)
        seen.append(Terminal(tmp_path, process_of, *arguments, **options))
        return seen[-1]

    yield run
    for each in seen:
        each.__exit__()


def last(pattern: str) -> Callable[[list[str]], re.Match[str] | None]:
    """Whether the last line that is shown has this in it."""
    return lambda shown: re.search(pattern, shown[-1]) if shown else None


# What holds the run back


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_open_circuit(see: Any, server: Server, workers: str) -> None:
    """Whom the run waits for, what its calls failed of, and for how long still."""
    terminal = see("in", "-e", f"x={server.url}/status/500", "-w", workers, given=MORE)
    host = re.escape(server.url.partition("://")[2])
    found = terminal.until(
        last(rf"waiting for the circuit of {host} \(500 . (\d+), (\d+) s left\)")
    )
    assert int(found[1]) >= 5  # each worker has its share of the evidence
    assert 1 <= int(found[2]) <= 6
    assert "to go" not in terminal.shown[-1]


def test_a_pause_that_was_asked_for(see: Any, server: Server) -> None:
    """Retry-After, with the seconds that are left, counted down."""
    url = f"{server.url}/429-once?after=20&key=screen"
    terminal = see("in", "-e", f"x={url}", given=MORE)
    pattern = r"paused by Retry-After, (\d+) s left"
    first = int(terminal.until(last(pattern))[1])
    assert first <= 21
    terminal.until(lambda shown: (m := last(pattern)(shown)) and int(m[1]) < first)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_limits_that_were_set(see: Any, workers: str) -> None:
    """A rate, a concurrency: the run is as slow as it was told to be."""
    arguments = ("in", "-e", "stages.py:held", "-w", workers)
    terminal = see(*arguments, "--set", "held.rate=4/s", given=MORE)
    terminal.until(last(r"/s, rate limit,"))
    calls = b'{"until":"never"}\n' * 500
    terminal = see(*arguments, "--set", "held.concurrency=2", given=calls)
    terminal.until(last(r"/s, concurrency limit, 2 in flight"))


def test_a_slow_reader(see: Any) -> None:
    """Nobody takes what is written: that is not the fault of a stage."""
    terminal = see("in", "-e", "none", given=MORE * 1000, stdout=subprocess.PIPE)
    terminal.until(last(r"reader is slow"))


# How far it is


def test_what_is_written_counts(see: Any, tmp_path: Path) -> None:
    """Records that are finished behind a slow one are no progress; then they all are."""
    given = b'{"until":"go"}\n' + MORE + b'{"until":"end"}\n'
    terminal = see("in", "-e", "stages.py:held", given=given)
    terminal.until(last(r"^0 records \(0%\) in 0:00:\d\d, 0/s, 2 in flight, oldest \d+ s$"))
    (tmp_path / "go").touch()
    terminal.until(last(r"^501 records"))
    (tmp_path / "end").touch()
    assert terminal.end()[-1].startswith(SUMMARY + "502 records")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_how_long_it_will_take(see: Any, workers: str) -> None:
    """The time left of a file, from the pace of the last seconds."""
    given = b'{"s":0.1}\n' * 5000
    terminal = see("in", "-e", "stages.py:held", "-j", "4", "-w", workers, given=given)
    found = terminal.until(last(r"^[\d,]+ records \(\d+%\) in .* (\d+):(\d\d):(\d\d) to go"))
    hours, minutes, seconds = map(int, found.groups())
    assert hours * 3600 + minutes * 60 + seconds > 60  # 125 s on a machine that does nothing else


def test_what_has_no_end_has_no_time_left(see: Any) -> None:
    """Of a pipe nobody knows how much will come."""
    terminal = see("-e", "stages.py:held")
    terminal.process.stdin.write(MORE)
    terminal.until(last(r"^500 records in 0:00:0[4-9]"))
    assert "to go" not in terminal.raw.decode()
    assert "%" not in terminal.raw.decode()


# Others on the same terminal


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_others_say_is_whole(see: Any, tmp_path: Path, workers: str) -> None:
    """The line makes room for prints and the log of user code, and leaves nothing behind."""
    terminal = see("-e", "stages.py:talks", "-w", workers)
    terminal.until(last(r"^0 records in"))
    terminal.process.stdin.write(b'{"say":"well","until":"go"}\n')
    said = ["well", "well on stderr", "streamproc: warning: well in the log"]
    terminal.until(lambda shown: len(shown) == 4 and shown[-1].startswith("0 records"))
    assert sorted(terminal.shown[:-1]) == sorted(said)
    (tmp_path / "go").touch()
    *left, summary = terminal.end()
    assert sorted(left) == sorted(said)
    assert summary.startswith(SUMMARY + "1 record")


def test_draining_is_said_in_its_own_line(see: Any, tmp_path: Path) -> None:
    """After Ctrl-C the line goes on under what was said."""
    terminal = see("-e", "stages.py:held")
    terminal.process.stdin.write(b'{"until":"go"}\n')
    terminal.until(last(r"^0 records in .*1 in flight"))
    terminal.process.send_signal(signal.SIGINT)
    said = "draining 1 record, Ctrl-C again to abort"
    terminal.until(lambda shown: len(shown) == 2 and shown[-1].startswith("0 records"))
    assert terminal.shown[0] == said
    (tmp_path / "go").touch()
    first, summary = terminal.end()
    assert (first, summary[: len(SUMMARY)]) == (said, SUMMARY)


def test_records_on_the_same_terminal(see: Any) -> None:
    """There is no line between records, not even for who asks for one."""
    for more in ((), ("--progress",)):
        terminal = see("in", "-e", "stages.py:held", *more, given=b'{"s":1}\n', stdout=None)
        record, summary = terminal.end()
        assert (record, summary[: len(SUMMARY)]) == ('{"s":1,"ok":true}', SUMMARY)
        assert b"\x1b" not in terminal.raw


def test_a_line_beside_a_file_of_records(see: Any) -> None:
    """With -o there are no records on the terminal, so that stdout does not matter."""
    arguments = ("in", "-e", "stages.py:held", "-o", "out")
    terminal = see(*arguments, given=b'{"until":"never"}\n', stdout=None)
    terminal.until(last(r"^0 records .* 1 in flight"))


def test_a_terminal_that_erases_nothing(see: Any) -> None:
    """TERM=dumb: no line, and nothing but plain text."""
    terminal = see("in", "-e", "stages.py:held", given=b'{"s":1}\n', env={"TERM": "dumb"})
    (summary,) = terminal.end()
    assert summary.startswith(SUMMARY + "1 record")
    assert b"\x1b" not in terminal.raw


def test_a_narrow_window(see: Any) -> None:
    """The line is cut off, and never goes on in the next one."""
    terminal = see("-e", "stages.py:held", columns=20)
    terminal.until(last(r"^0 records in 0:00:0"))
    terminal.resize(40)
    terminal.until(last(r"^0 records in 0:00:\d\d, 0/s, 0 in flight$"))
    assert len(terminal.shown) == 1


def test_a_terminal_that_is_gone(see: Any, tmp_path: Path) -> None:
    """A closed terminal ends no run: records are written to the end."""
    terminal = see("-e", "stages.py:held", "-o", "out")
    terminal.until(last(r"^0 records"))
    terminal.process.stdin.write(b'{"s":1}\n')
    terminal.process.stdin.close()
    terminal.hang_up()
    assert terminal.process.wait(60) == 0
    assert (tmp_path / "out").read_bytes() == b'{"s":1,"ok":true}\n'


# Other forms


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_line_for_each_stage(see: Any, tmp_path: Path, workers: str) -> None:
    """Below the line of the run, drawn in place, and gone at the end."""
    stages = ("-e", "one=stages.py:held", "-e", "two=stages.py:held")
    terminal = see("in", *stages, "-w", workers, "--progress-format", "full",
                   given=MORE + b'{"until":"go"}\n')  # fmt: skip
    terminal.until(
        lambda shown: (
            len(shown) == 3
            and shown[0].startswith("500 records")
            and re.fullmatch(r"  one: 500 calls, [\d,.]+/s, mean \S+ .?s, p95 \S+ .?s", shown[1])
            and shown[2].startswith("  two: 500 calls")
        )
    )
    (tmp_path / "go").touch()
    assert [each.partition("records")[0] for each in terminal.end()] == [SUMMARY + "501 "]


def test_what_others_say_is_whole_above_the_stages(see: Any, tmp_path: Path) -> None:
    """What is printed stands above, without remains of what was drawn there."""
    terminal = see("-e", "talks=stages.py:talks", "-e", "s=stages.py:held", "--progress-format",
                   "full")  # fmt: skip
    terminal.until(lambda shown: len(shown) == 3 and shown[2].startswith("  s: 0 calls"))
    terminal.process.stdin.write(b'{"say":"well","until":"go"}\n')
    said = ["well", "well on stderr", "streamproc: warning: well in the log"]
    terminal.until(lambda shown: len(shown) == 6 and shown[3].startswith("0 records"))
    assert sorted(terminal.shown[:3]) == sorted(said)
    (tmp_path / "go").touch()
    *left, summary = terminal.end()
    assert sorted(left) == sorted(said)
    assert summary.startswith(SUMMARY + "1 record")


def test_more_stages_than_the_window_has_lines(see: Any, tmp_path: Path) -> None:
    """What does not fit is left out, and nothing scrolls away."""
    stages = [each for i in range(20) for each in ("-e", f"s{i}=stages.py:held")]
    arguments = "in", *stages, "--progress-format", "full", "--summary", "none"
    terminal = see(*arguments, given=b'{"until":"go"}\n')
    terminal.until(lambda shown: len(shown) == LINES - 1 and shown[-1].startswith("  s9:"))
    terminal.until(last(r"s9: 0 calls"))
    assert terminal.shown[0].startswith("0 records")
    (tmp_path / "go").touch()
    assert terminal.end() == []


def test_lines_of_json_for_scripts(start: Any, folder: Path) -> None:
    """One a second, no terminal needed, with what a person sees; the last one is the end."""
    (folder / "stages.py").write_text(STAGES)
    process = start("-e", "s=stages.py:held", "--progress-format", "json", "--summary", "json")
    process.stdin.write(b'{"n":1}\n{"until":"go"}\n')
    while (found := json.loads(process.stderr.readline())["progress"])["records"] < 1:
        pass
    assert found["in_flight"] == 1
    assert found["stages"]["s"]["calls"] == 1
    assert (found["failed"], found["held_by"], found["share"]) == (0, None, None)
    before = found["seconds"]
    assert json.loads(process.stderr.readline())["progress"]["seconds"] > before
    (folder / "go").touch()
    process.stdin.close()
    assert process.wait() == 0
    *_, progress, summary = map(json.loads, process.stderr.read().splitlines())
    assert progress["progress"]["records"] == summary["ok"] == 2


def test_no_progress_is_none_for_scripts_either(run: Any) -> None:
    done = run("-e", "none", "--progress-format", "json", "--no-progress", stdin=MORE)
    assert (done.returncode, done.stderr) == (0, b"")
