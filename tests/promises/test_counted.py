"""Nothing is lost and nothing is doubled, whatever the records do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc import Pipeline
from streamproc.testing import MemorySink, MemorySource

KINDS = ["good", "slow", "fails", "hangs", "malformed", "blank", "had_error", "array"]


async def behave(record: dict[str, Any]) -> dict[str, Any]:
    match record["kind"]:
        case "slow":
            for _ in range(7):
                await asyncio.sleep(0)
        case "fails":
            raise ValueError("no")
        case "hangs":
            await asyncio.sleep(1000)
    return {"done": True}


def line_of(n: int, kind: str) -> bytes:
    match kind:
        case "malformed":
            return b'{"n": %d' % n
        case "blank":
            return b" \r"
        case "had_error":
            return b'{"n":%d,"_error":{"kind":"earlier"}}' % n
        case "array":
            return b"[%d]" % n
    return b'{"n":%d,"kind":"%s"}' % (n, kind.encode())


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("mode", ["annotate", "dead-letter", "drop"])
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(kinds=st.lists(st.sampled_from(KINDS), max_size=60))
def test_every_record_ends_in_one_place(
    tmp_path: Path, ordered: bool, mode: str, kinds: list[str]
) -> None:
    """received = ok + failed + dead_lettered + dropped + ..., and each line comes out once."""
    dead = tmp_path / "dead"
    dead.unlink(missing_ok=True)
    pipeline = Pipeline(
        [behave], ordered=ordered, on_error=mode, timeout=0.1, concurrency=8,
        dead_letter=str(dead) if mode == "dead-letter" else None,
    )  # fmt: skip
    sink = MemorySink()
    lines = [line_of(n, kind) for n, kind in enumerate(kinds)]
    summary = asyncio.run(pipeline.run(MemorySource(lines), sink))

    failing = sum(kind in ("fails", "hangs", "malformed", "array") for kind in kinds)
    assert summary.blank == kinds.count("blank")
    assert summary.received == len(kinds) - summary.blank
    assert summary.ok == summary.received - failing
    assert summary.malformed == kinds.count("malformed") + kinds.count("array")
    assert summary.had_error == kinds.count("had_error")
    where = {"annotate": "failed", "dead-letter": "dead_lettered", "drop": "dropped"}[mode]
    assert getattr(summary, where) == failing
    assert summary.exit_code == (3 if failing else 0)
    letters = dead.read_bytes().splitlines() if dead.exists() else []
    assert len(letters) == summary.dead_lettered
    assert len(sink.lines) == summary.lines_out == summary.ok + summary.failed
    numbers = [r["n"] for r in sink.records if "n" in r]
    assert len(set(numbers)) == len(numbers)
    assert not ordered or numbers == sorted(numbers)


@pytest.mark.parametrize(("limit", "mode"), [(3, "annotate"), (None, "stop")])
def test_max_errors_stops_reading(limit: int | None, mode: str) -> None:
    """The Nth failure is treated like the others, and nothing is begun after it: 4."""
    pipeline = Pipeline([behave], on_error=mode, max_errors=limit, concurrency=4)
    sink = MemorySink()
    lines = (line_of(n, "fails" if n % 10 == 9 else "good") for n in range(100_000))
    summary = asyncio.run(pipeline.run(MemorySource(lines), sink))
    assert summary.exit_code == 4
    assert summary.failed == (limit or 1)
    assert summary.ok <= 10 * (limit or 1) + 4  # what was in flight
    assert summary.received < 10_000
    assert summary.received == summary.ok + summary.failed + summary.unprocessed
    assert len(sink.lines) == summary.received
