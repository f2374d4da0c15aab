"""Nothing is lost or doubled, through every kind of stage, ended in every way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc import Pipeline, Summary, enricher, transform
from streamproc.config.load import resolve
from streamproc.pipeline.shutdown import Shutdown
from streamproc.testing import MemorySink, MemorySource

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
PLACES = ["ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed"]
KINDS = ["good", "good", "slow", "fails", "hangs", "malformed", "blank", "none", "two", "empty"]
few = settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@transform
def shape(record: dict[str, Any]) -> Any:
    match record["kind"]:
        case "none":
            return None
        case "two":
            return [record | {"half": 1}, record | {"half": 2}]
        case "empty":
            return []
    return record


async def work(record: dict[str, Any]) -> dict[str, Any]:
    match record["kind"]:
        case "slow":
            for _ in range(record["n"] % 11):
                await asyncio.sleep(0)
        case "fails":
            raise ValueError("no")
    return {"worked": True}


async def hang(record: dict[str, Any]) -> None:
    """The only stage with a short timeout: whoever does not hang here does not wait here."""
    if record["kind"] == "hangs":
        await asyncio.sleep(1000)


@enricher(batch=5, wait_s=0.001)
async def together(records: list[dict[str, Any]]) -> list[Any]:
    await asyncio.sleep(0)
    return [{"size": len(records)} for _ in records]


@enricher(blocking=True)
def thread(record: dict[str, Any]) -> dict[str, Any]:
    return {"thread": threading.current_thread().name}


def line_of(n: int, kind: str) -> bytes:
    match kind:
        case "malformed":
            return b'{"n": %d' % n
        case "blank":
            return b"\t"
    return b'{"n":%d,"kind":"%s"}' % (n, kind.encode())


def pipeline_of(stages: list[Any], **settings: Any) -> Pipeline:
    tables = [{"python": f"{__name__}:{stage.__name__}"} for stage in stages]
    tables[stages.index(hang)]["timeout"] = "20ms"
    return Pipeline.from_settings(resolve({"stage": tables, **settings}))


def identity(summary: Summary) -> None:
    assert summary.received == sum(getattr(summary, place) for place in PLACES)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("mode", ["annotate", "dead-letter", "drop", "stop"])
@few
@given(kinds=st.lists(st.sampled_from(KINDS), max_size=50), ordered=st.booleans(), data=st.data())
def test_mix_of_stages(
    tmp_path: Path, loop: Any, mode: str, kinds: list[str], ordered: bool, data: Any
) -> None:
    """Filtered, fanned out, gathered, in threads, failed: each record ends once, in its place."""
    extra: Any = data.draw(st.sampled_from([[], [together], [thread], [together, thread]]))
    dead = tmp_path / "dead"
    dead.unlink(missing_ok=True)
    pipeline = pipeline_of(
        [shape, hang, work, *extra], ordered=ordered, on_error=mode,
        concurrency=data.draw(st.sampled_from([1, 3, 16])), dead_letter=str(dead),
    )  # fmt: skip
    sink = MemorySink()
    lines = [line_of(n, kind) for n, kind in enumerate(kinds)]
    with asyncio.Runner(loop_factory=loop) as runner:
        summary = runner.run(pipeline.run(MemorySource(lines), sink))

    identity(summary)
    failing = [n for n, kind in enumerate(kinds) if kind in ("fails", "hangs", "malformed")]
    filtered = sum(kind in ("none", "empty") for kind in kinds)
    is_stopped = mode == "stop" and bool(failing)
    if is_stopped:
        assert summary.exit_code == 4
        assert summary.failed >= 1
    else:
        assert summary.received == len(kinds) - kinds.count("blank")
        assert summary.filtered == filtered
        assert summary.failed + summary.dead_lettered + summary.dropped == len(failing)
        assert summary.exit_code == (3 if failing else 0)
    assert is_stopped or summary.unprocessed == 0
    assert len(sink.lines) == summary.lines_out
    letters = dead.read_bytes().splitlines() if dead.exists() else []
    if is_stopped:
        assert len(letters) == summary.unprocessed
    else:
        assert [json.loads(x)["raw"].encode() for x in letters if ordered] == (
            [lines[n] for n in failing] if ordered and mode == "dead-letter" else []
        )
    keys = [(r["n"], r.get("half")) for r in sink.records if "n" in r]
    assert len(set(keys)) == len(keys)
    assert not ordered or keys == sorted(keys, key=lambda key: (key[0], key[1] or 0))


@pytest.mark.parametrize("loop", LOOPS)
@few
@given(
    kinds=st.lists(st.sampled_from(["good", "slow", "stuck", "malformed"]), max_size=400),
    ordered=st.booleans(),
    at=st.integers(0, 30),
    levels=st.sampled_from([1, 2]),
    letters=st.booleans(),
)
def test_ended_at_any_moment(
    tmp_path: Path, loop: Any, kinds: list[str], ordered: bool, at: int, levels: int, letters: bool
) -> None:
    """Whenever a run is asked to end, what it took from its source is written or accounted for."""
    dead = tmp_path / "dead"
    dead.unlink(missing_ok=True)
    taken = 0

    async def stage(record: dict[str, Any]) -> None:
        if record["kind"] == "slow":
            await asyncio.sleep(0)
        if record["kind"] == "stuck":
            await asyncio.sleep(1000)

    def source() -> Iterator[bytes]:
        nonlocal taken
        for n, kind in enumerate(kinds):
            taken += 1
            yield line_of(n, kind)

    async def main() -> Summary:
        shutdown = Shutdown(0.01)  # a stuck record outlives the first level, not the second
        pipeline = Pipeline(
            [stage], ordered=ordered, concurrency=4, on_error="annotate",
            dead_letter=str(dead) if letters else None,
        )  # fmt: skip
        run = asyncio.create_task(pipeline.run(MemorySource(source()), sink, shutdown=shutdown))
        for _ in range(at):
            await asyncio.sleep(0)
        for _ in range(levels):
            shutdown.request(15)
        return await run

    sink = MemorySink()
    with asyncio.Runner(loop_factory=loop) as runner:
        summary = runner.run(main())
    identity(summary)
    assert summary.received == taken
    left = dead.read_bytes().splitlines() if dead.exists() else []
    assert len(sink.lines) + len(left) == taken
    assert len(left) == (summary.unprocessed if letters else 0)
    natural = {0, 3} if summary.received == len(kinds) else set()  # it was over already
    assert summary.exit_code in ({75} if summary.unprocessed else {143} | natural)
    whole = [r["n"] for r in sink.records if "n" in r]
    assert len(set(whole)) == len(whole)
    assert not ordered or whole == sorted(whole)


@pytest.mark.parametrize("mode", ["annotate", "dead-letter", "drop"])
def test_max_errors_counts_every_kind_of_failure(tmp_path: Path, mode: str) -> None:
    """Malformed, failed and timed-out records count alike, however they are treated."""
    kinds = ["good", "malformed", "fails", "hangs"]
    pipeline = pipeline_of(
        [hang, work], on_error=mode, max_errors=3, dead_letter=str(tmp_path / "dead")
    )
    sink = MemorySink()
    lines = (line_of(n, kinds[n] if n < 4 else "good") for n in range(10**9))
    summary = asyncio.run(pipeline.run(MemorySource(lines), sink))
    identity(summary)
    assert summary.exit_code == 4
    assert summary.failed + summary.dead_lettered + summary.dropped == 3
