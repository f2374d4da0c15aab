"""Signals at random moments of real processes, once they have written something."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S, records, summary

pytestmark = pytest.mark.forked


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_signal_at_any_moment(start: Any, seed: int) -> None:
    """What was written is a prefix of the whole output, and every record is accounted for."""
    dice = random.Random(seed)
    count = 3000
    stage = dice.choice(["none", "stages.py:plain", "stages.py:slow", "leads"])
    lines = [b'{"n":%d,"s":%s}\n' % (n, dice.choice([b"0", b"0.001", b"0"])) for n in range(count)]
    process = start("-e", stage, "-j", str(dice.choice([1, 8, 64])), "--summary", "json")
    wanted = dice.randrange(1, 200)
    process.stdin.write(b"".join(lines[:wanted]))
    process.stdin.flush()
    first = b"".join(process.stdout.readline() for _ in range(dice.randrange(wanted) + 1))
    signals = dice.choice([[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
    sent = bytearray()
    for piece in lines[wanted : wanted + dice.randrange(50)]:
        sent += piece
    process.stdin.write(sent)
    process.stdin.flush()
    for number in signals:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    written = records(first + out)
    counts = summary(err)
    done = [r["n"] for r in written]
    assert done == list(range(len(done)))
    assert counts["received"] == len(done)
    cut = [r for r in written if r.get("_error", {}).get("kind") == "shutdown"]
    assert counts["unprocessed"] == len(cut)
    assert process.returncode in (143, 130, 75)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_signal_with_dead_letters(start: Any, folder: Path, seed: int) -> None:
    """In any order and on any loop each line is on stdout or among the dead letters, once."""
    dice = random.Random(seed)
    order = dice.choice(["--ordered", "--unordered"])
    process = start(
        "-e", dice.choice(["stages.py:slow", "stages.py:nap", "stages.py:Life"]), order,
        "--loop", dice.choice(["uvloop", "asyncio"]), "--dead-letter", "dead",
        "--drain-timeout", dice.choice(["0.05", "25"]), "--summary", "json",
    )  # fmt: skip
    count = dice.randrange(20, 1500)
    stuck = dice.randrange(10, count)
    lines = [b'{"n":%d,"s":%s}\n' % (n, b"0.4" if n == stuck else b"0") for n in range(count)]
    process.stdin.write(b"".join(lines))
    first = b"".join(process.stdout.readline() for _ in range(dice.randrange(1, 10)))
    for number in dice.choice([[signal.SIGHUP], [signal.SIGINT, signal.SIGINT]]):
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    counts = summary(err)
    written = [r["n"] for r in records(first + out)]
    dead = folder / "dead"
    letters = [json.loads(r["raw"])["n"] for r in records(dead.read_bytes())]
    assert sorted(written + letters) == list(range(counts["received"]))
    assert counts["unprocessed"] == len(letters)
    assert order == "--unordered" or written == sorted(written)
    assert process.returncode in ((75,) if letters else (129, 130))
