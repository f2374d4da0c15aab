"""Transactions through outages, pauses, rebalances and twins: once each, and no stage twice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker import Broker, until

from tests.conftest import summary

pytestmark = pytest.mark.forked

COUNT, PATIENCE_S = 2000, 300.0
STAGE = """
import asyncio, os, random
calls = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
async def enrich(record):
    os.write(calls, b"%d\\n" % record["n"])
    if name := os.environ.get("MEMBER"):
        open(name, "w").close()
    await asyncio.sleep(0.2 if os.path.exists("slowly") else random.random() * 0.01)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages.py").write_text(STAGE)
    return tmp_path


class Copy:
    """From a topic of 4 partitions through a stage that notes its calls to another one."""

    def __init__(self, broker: Broker, topic: Any, produce: Any, consume_all: Any) -> None:
        self.source, self.target = topic(4), topic(4)
        values = [b'{"n":%d}' % n for n in range(COUNT)]
        produce(self.source, [{"value": each, "key": each[-3:]} for each in values])
        self._bootstrap, self._consume_all = broker.bootstrap, consume_all

    def arguments(self, source: str = "", sink: str = "") -> list[str]:
        address = f"kafka://{self._bootstrap}"
        return [f"{address}/{self.source}?group={self.source}{source}",
                "-o", f"{address}/{self.target}?exactly_once=true{sink}",
                "-e", "stages.py:enrich", "-j", "4", "--summary", "json"]  # fmt: skip

    def written(self) -> list[int]:
        return [int(each.value[5:-1]) for each in self._consume_all(self.target)]

    def wait_for(self, is_enough: Callable[[list[int]], bool]) -> list[int]:
        deadline = time.monotonic() + PATIENCE_S
        while not is_enough(found := self.written()):
            assert time.monotonic() < deadline, f"{len(set(found))} of {COUNT} are there"
            time.sleep(0.2)
        return found


@pytest.fixture
def copy(broker: Broker, topic: Any, produce: Any, consume_all: Any) -> Copy:
    return Copy(broker, topic, produce, consume_all)


def calls(folder: Path) -> Counter[int]:
    return Counter(int(line) for line in (folder / "calls").read_text().split())


def ended(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any], list[str]]:
    """Code, summary and warnings."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, summary(said), said.decode().splitlines()[:-1]


def everything(found: list[int]) -> bool:
    return len(set(found)) == COUNT


def test_a_broker_that_is_away_for_longer_than_a_transaction_may_take(
    broker: Broker, copy: Copy, folder: Path, start: Any
) -> None:
    """It waits, says so once, and goes on."""
    process = start(*copy.arguments(sink="&transaction.timeout.ms=5000"))
    copy.wait_for(bool)
    broker.stop()
    time.sleep(7)  # what is tested is this long
    broker.start()
    found = copy.wait_for(everything)
    code, counts, warnings = ended(process)
    assert len(found) == COUNT
    assert set(calls(folder).values()) == {1}
    assert (code, counts["ok"], counts["unprocessed"]) == (143, COUNT, 0)
    assert [line for line in warnings if "no broker" in line] == warnings[:1]
    assert [line for line in warnings if "are back" in line] == warnings[1:]


@pytest.mark.parametrize("name", ["", "&instance=one&heartbeat.interval.ms=300"])
def test_a_transaction_that_took_too_long(copy: Copy, folder: Path, start: Any, name: str) -> None:
    """Fenced for having slept: a new producer, and the same bytes again. Nobody took its name."""
    process = start(*copy.arguments(source=name, sink="&transaction.timeout.ms=1000"))
    copy.wait_for(bool)
    process.send_signal(signal.SIGSTOP)
    time.sleep(3.5)  # what is tested is this long, and less than the session
    process.send_signal(signal.SIGCONT)
    found = copy.wait_for(everything)
    code, counts, _ = ended(process)
    assert len(found) == COUNT
    assert set(calls(folder).values()) == {1}
    assert (code, counts["ok"]) == (143, COUNT)


def test_a_rebalance_with_records_in_flight(copy: Copy, folder: Path, start: Any) -> None:
    """They are finished, committed, and only then handed over."""
    eager = copy.arguments(source="&heartbeat.interval.ms=300")  # to hear of a new member
    first = start(*eager, "-j", "2")
    copy.wait_for(lambda found: len(found) > 100)
    (folder / "slowly").touch()  # so that the second one comes in time
    second = start(*eager, "-j", "2", env={"MEMBER": "second"})
    until((folder / "second").exists, "the second member's first record")
    (folder / "slowly").unlink()
    found = copy.wait_for(everything)
    (code, counts, _), (other_code, other_counts, _) = ended(first), ended(second)
    assert len(found) == COUNT
    assert set(calls(folder).values()) == {1}
    assert (code, other_code) == (143, 143)
    assert counts["ok"] + other_counts["ok"] == COUNT
    assert min(counts["ok"], other_counts["ok"]) > 0


def test_a_twin_takes_over(copy: Copy, start: Any) -> None:
    """Two of one name: the older one ends and says which name, the younger goes on."""
    named = copy.arguments(source="&instance=twin&heartbeat.interval.ms=300")
    older = start(*named)
    copy.wait_for(bool)
    younger = start(*named)
    _, said = older.communicate(timeout=PATIENCE_S)
    assert older.returncode == 70, said.decode()
    assert b"twin" in said
    found = copy.wait_for(everything)
    assert ended(younger)[0] == 143
    assert len(found) == COUNT
