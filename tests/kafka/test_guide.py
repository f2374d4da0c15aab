"""What the guide says about Kafka works: its script when it is killed, and its files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from broker import PATIENCE_S, Broker, until
from copies import PARTITIONS, committed

from streamproc.errors import EXIT_CODES
from tests.docs.pages import BLOCKS, DOCS, as_tree, blocks_of, commands

RECORDS = 3000
GROUP = "guide"
STAGE = """
import asyncio

async def score(record):
    await asyncio.sleep(0.02)
    return {"score": 1}
"""
KAFKA = DOCS / "guide" / "kafka.md"


def blocks(language: str) -> list[str]:
    return [block.text for block in blocks_of(KAFKA) if block.language == language]


ADDRESS = re.compile(r"kafka://[^/\s]+/([\w,]+)")


def lines() -> list[Any]:
    """Each command of the documentation that names a topic."""
    found = [c for b in BLOCKS if b.language == "sh" for c in commands(b) if "kafka://" in c]
    will_do = pytest.mark.mock_will_do
    return [pytest.param(c, marks=() if "exactly_once" in c else will_do) for c in found]


@pytest.mark.parametrize("line", lines())
def test_commands_run(
    shell: Any, folder: Path, broker: Broker, topic: Callable[..., str],
    produce: Callable[..., None], line: str,
) -> None:  # fmt: skip
    """With topics of our own in place of those that it names, up to their end."""
    words = {name for names in ADDRESS.findall(line) for name in names.split(",")}
    ours = {name: topic(PARTITIONS) for name in sorted(words)}
    for name in ours.values():
        produce(name, [{"value": b'{"id": 1}', "key": b"1", "partition": 0}])

    def address(found: re.Match[str]) -> str:
        topics = ",".join(ours[name] for name in found[1].split(","))
        return f"kafka://{broker.bootstrap}/{topics}"

    command, _, rest = ADDRESS.sub(address, line).partition(" | ")
    if "replay" not in command and "leads.jsonl -o" not in command:
        command = command.replace("streamproc ", "streamproc --stop-at-end ", 1)
    done = shell(command + (" | cat" if rest else ""))
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr


class Bridge:
    """The script of the guide, in a folder of its own."""

    def __init__(self, folder: Path, broker: Broker, topic: str) -> None:
        [text] = blocks("python")
        named = '"group.id": group,'
        assert named in text
        # who was killed is a member for so long; the default is 45 s
        text = text.replace(named, f'{named} "session.timeout.ms": 6000,')
        (folder / "bridge.py").write_text(text)
        (folder / "scoring.py").write_text(STAGE)
        self.folder = folder
        self.broker = broker
        self.topic = topic

    def start(self) -> subprocess.Popen[bytes]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        arguments = [self.broker.bootstrap, self.topic, GROUP, "-e", "scoring.py:score", "-j", "16"]
        with self.out.open("ab") as out:
            if self.out.stat().st_size and not self.out.read_bytes().endswith(b"\n"):
                out.write(b"\n")  # as the guide says
            return subprocess.Popen(
                [sys.executable, "bridge.py", *arguments],
                cwd=self.folder, env={**os.environ, "PATH": path}, stdout=out,
                start_new_session=True,
            )  # fmt: skip

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    def written(self) -> list[int]:
        """Numbers of the records in the output, in its order."""
        numbers = []
        for line in self.out.read_bytes().split(b"\n"):
            try:
                numbers.append(json.loads(line)["n"])
            except ValueError:
                assert line == line.rstrip(b"}"), line  # empty, or cut by a kill
        return numbers

    def committed(self) -> dict[int, int]:
        return committed(self.broker, GROUP, self.topic)

    def check_offsets(self) -> int:
        """They are not ahead of the output; returns their sum."""
        committed = self.committed()
        written = set(self.written())
        for partition, offset in committed.items():
            # number n is in partition n % 4; the null is no record
            wanted = {partition + PARTITIONS * each for each in range(offset)} - {0}
            assert wanted <= written, f"{partition}: {offset} is committed"
        return sum(committed.values())


@pytest.fixture
def bridge(
    tmp_path: Path, broker: Broker, topic: Callable[..., str], produce: Callable[..., None]
) -> Bridge:
    name = topic(PARTITIONS)

    def message(n: int) -> dict[str, Any]:
        value = b'{"n": %d,\n\r\n "text": "x"}' % n if n else None
        return {"value": value, "key": b"%d" % n, "partition": n % PARTITIONS}

    produce(name, [message(n) for n in range(RECORDS)])
    return Bridge(tmp_path, broker, name)


@pytest.mark.slow
def test_the_script_may_be_killed_at_any_time(bridge: Bridge) -> None:
    """Every record is in the output, and offsets were never ahead of it."""
    for kill, part in ((os.killpg, 0.3), (os.kill, 0.6)):  # with streamproc, and alone
        process = bridge.start()
        until(
            lambda part=part: len(set(bridge.written())) > RECORDS * part,  # type: ignore[misc]
            "output",
        )
        kill(process.pid, signal.SIGKILL)
        process.wait()
        sum_of_offsets = bridge.check_offsets()
        assert 0 < sum_of_offsets < RECORDS
    process = bridge.start()
    until(lambda: sum(bridge.committed().values()) == RECORDS, "the last offsets")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert bridge.check_offsets() == RECORDS
    assert set(bridge.written()) == set(range(1, RECORDS))


@pytest.mark.slow
def test_the_script_stays_in_the_group_while_the_pipe_is_full(
    bridge: Bridge, tmp_path: Path
) -> None:
    """Records that take longer than a member may be silent are done once."""
    script = tmp_path / "bridge.py"
    text = script.read_text().replace("20_000", "20").replace("5_000", "10")
    quick = '"session.timeout.ms": 6000, "max.poll.interval.ms": 6000,'
    script.write_text(text.replace('"session.timeout.ms": 6000,', quick))
    (tmp_path / "scoring.py").write_text(STAGE.replace("0.02", "8 if record['n'] < 4 else 0"))
    process = bridge.start()
    begin = time.monotonic()
    until(lambda: len(bridge.written()) >= RECORDS - 1, "the output")
    assert time.monotonic() > begin + 8
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert sorted(bridge.written()) == list(range(1, RECORDS))


def test_the_script_is_short() -> None:
    [text] = blocks("python")
    compile(text, "bridge.py", "exec")
    assert len(text.splitlines()) <= 30


def test_units_are_valid() -> None:
    assert blocks("ini")
    for text in blocks("ini"):
        unit = ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(text)
        assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"}
        assert unit["Service"]["ExecStart"].split()[1:3] == ["-c", "/etc/streamproc/leads.toml"]
        assert set(unit["Service"]["RestartPreventExitStatus"].split()) <= exit_codes()


def exit_codes() -> set[str]:
    return {code for codes in EXIT_CODES for code in codes.split(", ")}


def test_exit_codes_are_known() -> None:
    """The table has no number that the command does not return."""
    rows = re.findall(r"^\| ([\d, ]+) \|", KAFKA.read_text("utf-8"), re.MULTILINE)
    assert rows
    assert {code.strip() for row in rows for code in row.split(",")} <= exit_codes()


def test_yaml_is_valid() -> None:
    assert blocks("yaml")
    for text in blocks("yaml"):
        found = as_tree(text)
        assert found["kind"] == "StatefulSet"
        [container] = found["spec"]["template"]["spec"]["containers"]
        assert container["command"][:2] == ["streamproc", "-c"]
