"""`--on-error stop` and `--max-errors`: what is begun is ended, and nothing else is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import summary

pytestmark = pytest.mark.forked
CALLS = """
import asyncio

def note(name):
    with open(name, "a") as file:
        file.write(".")

def plain(record):
    note("calls")
    if record["n"] == 50:
        raise ValueError("no")
    return {"ok": True}

async def slow(record):
    note("calls")
    await asyncio.sleep(0.001)
    if record["n"] == 50:
        raise ValueError("no")
    return {"ok": True}

async def later(record):
    note("later")
    return {"later": True}
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stage", ["plain", "slow", "two"])
def test_no_call_is_begun_after_the_last_failure(
    run: Any, folder: Path, stage: str, workers: int
) -> None:
    """-j calls are in flight at most when it is known; they end, the rest is unprocessed."""
    (folder / "calls.py").write_text(CALLS)
    stages = ["-e", "calls.py:slow", "-e", "calls.py:later"] if stage == "two" else []
    done = run(
        *(stages or ["-e", f"calls.py:{stage}"]), "-j", "4", "-w", str(workers),
        "--on-error", "stop", "--summary", "json",
        stdin=b"".join(b'{"n":%d}\n' % n for n in range(3000)),
    )  # fmt: skip
    counts = summary(done.stderr)
    assert (done.returncode, counts["failed"]) == (4, 1)
    said = [line for line in done.stderr.decode().splitlines() if "stopped at" in line]
    assert len(said) == 1
    assert "<stdin>, line 51: exception in" in said[0]
    begun = (folder / "calls").stat().st_size
    ahead = 0 if (stage, workers) == ("plain", 1) else 4
    assert begun <= 51 + ahead or workers > 1
    assert begun < 3000
    if stage == "two" and workers == 1:
        assert (folder / "later").stat().st_size <= 50
