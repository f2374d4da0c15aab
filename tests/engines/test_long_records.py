"""While a long record is decoded or rewritten, others have the loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

import streamproc
from streamproc import Pipeline
from streamproc.engines import program
from streamproc.engines.long_records import LongRecords
from streamproc.threads import LONG_BYTES

Record = dict[str, Any]
LONG = b'{"n":1,"text":"%b"}' % (b"x" * LONG_BYTES)
WAIT_S = 60  # until the loop, if it waits itself, is given up


def plain(record: Record) -> Record:
    return {"n": record["n"] + 1}


async def awaited(record: Record) -> Record:
    await asyncio.sleep(0)
    return plain(record)


@streamproc.transform
def replaces(record: Record) -> Record:
    return {**record, "n": record["n"] + 1}


def fails(record: Record) -> Record:
    raise ValueError


@pytest.mark.parametrize(
    ("stage", "step"),
    [(stage, step) for stage in (plain, awaited, replaces) for step in ("document", "apply")]
    + [(fails, "document"), (fails, "_failed")],
)
def test_the_loop_has_its_turns(
    stage: Callable[[Record], Any], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be done with it waits here for the loop to do something else."""
    found: list[bool] = []
    owner = {"document": LongRecords, "apply": program, "_failed": program.Program}[step]
    real = getattr(owner, step)

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()

        def waits(*arguments: Any) -> Any:
            went_on = threading.Event()
            loop.call_soon_threadsafe(went_on.set)
            found.append(went_on.wait(WAIT_S))
            return real(*arguments)

        monkeypatch.setattr(owner, step, waits)
        out: list[Any] = []
        await Pipeline([stage]).run([LONG], out)
        return out

    (out,) = asyncio.run(run())
    assert ("_error" in out) == (stage is fails)
    assert found == [True]


@pytest.mark.parametrize("stage", [plain, awaited, replaces])
@pytest.mark.parametrize("top", [{}, {"max_errors": 5}], ids=["", "one by one"])
def test_records_stay_in_order(stage: Callable[[Record], Any], top: dict[str, Any]) -> None:
    """Long ones among short ones."""
    text = {0: "", 1: "x" * LONG_BYTES}
    lines = [json.dumps({"n": n, "text": text[n % 7 in (2, 3)]}).encode() for n in range(40)]
    out: list[Any] = []
    Pipeline([stage], **top).run_sync(lines, out)
    assert [record["n"] for record in out] == [*range(1, 41)]
