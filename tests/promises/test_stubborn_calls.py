"""Calls that come back late, or never."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import uvloop

from streamproc import Pipeline, Summary, enricher
from streamproc.errors import TooManyAbandonedError
from streamproc.testing import MemorySink, MemorySource

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def process(loop: Any, stage: Any, records: Any, **settings: Any) -> tuple[list[Any], Summary]:
    """The output and the account, also of a run that ended with too many abandoned calls."""
    sink = MemorySink()

    async def main() -> Summary:
        try:
            return await Pipeline([stage], **settings).run(MemorySource(records), sink)
        except TooManyAbandonedError as error:
            return error.summary  # type: ignore[attr-defined, no-any-return]

    with asyncio.Runner(loop_factory=loop) as runner:
        summary = runner.run(main())
    return sink.records, summary


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("hanging", [2, 3])
def test_blocking_calls_that_never_return(loop: Any, hanging: int) -> None:
    """A timed-out blocking call is abandoned; more than -j of them end the run with code 1."""
    release = threading.Event()

    @enricher(blocking=True)
    def block(record: dict[str, Any]) -> dict[str, Any]:
        if record.get("hang"):
            release.wait()
        return {"ok": True}

    sink = MemorySink()
    pipeline = Pipeline([block], timeout=0.3, concurrency=2)
    source = MemorySource([{"hang": 1}] * hanging + [{"n": 1}] * 5)

    async def main() -> Summary:
        try:
            return await pipeline.run(source, sink)
        except TooManyAbandonedError as error:
            return error.summary  # type: ignore[attr-defined, no-any-return]
        finally:
            release.set()

    with asyncio.Runner(loop_factory=loop) as runner:
        summary = runner.run(main())
    assert summary.exit_code == (3 if hanging == 2 else 1)
    assert summary.received == len(sink.lines) == hanging + 5
    if hanging == 2:
        assert [r.get("ok") for r in sink.records] == [None] * 2 + [True] * 5


@pytest.mark.parametrize("loop", LOOPS)
def test_a_thread_that_comes_back_is_used_again(loop: Any) -> None:
    """An abandoned blocking call is counted only until it returns: slow is not stubborn."""
    gates = [threading.Event() for _ in range(6)]

    @enricher(blocking=True)
    def block(record: dict[str, Any]) -> dict[str, Any]:
        if record["n"]:
            gates[record["n"] - 1].set()  # the call before is over its time: let it return
        if record["n"] < 5:
            gates[record["n"]].wait()
        return {"ok": True}

    out = MemorySink()
    pipeline = Pipeline([block], timeout=0.3, concurrency=1)
    with asyncio.Runner(loop_factory=loop) as runner:
        summary = runner.run(pipeline.run(MemorySource({"n": n} for n in range(6)), out))
    assert (summary.failed, summary.ok, summary.exit_code) == (5, 1, 3)


@pytest.mark.parametrize(("loop", "lists"), [(LOOPS[0], 1), (LOOPS[1], 2)])
def test_lists_that_ignore_their_cancellation(loop: Any, lists: int) -> None:
    """A list that ignores its cancellation is abandoned with all its records, the run goes on."""

    async def main() -> tuple[list[Any], Summary]:
        release = asyncio.Event()

        @enricher(batch=2, wait_s=60)
        async def ignore(records: list[dict[str, Any]]) -> list[Any]:
            while records[0].get("hang") and not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return [{"ok": True}] * len(records)

        sink = MemorySink()
        records = [{"hang": 1}] * 2 * lists + [{"n": 1}] * 2
        try:
            summary = await Pipeline([ignore], timeout=0.02, concurrency=1).run(
                MemorySource(records), sink
            )
        except TooManyAbandonedError as error:
            summary = error.summary  # type: ignore[attr-defined]
        release.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=60)
        return sink.records, summary

    with asyncio.Runner(loop_factory=loop) as runner:
        out, summary = runner.run(main())
    assert len(out) == summary.received == 2 * lists + 2
    assert [r["_error"]["kind"] for r in out[:2]] == ["timeout"] * 2
    if lists == 1:
        assert [r.get("ok") for r in out[2:]] == [True, True]
    assert summary.exit_code == (3 if lists == 1 else 1)


@pytest.mark.parametrize("loop", LOOPS)
def test_cleanup_is_awaited(loop: Any) -> None:
    """The cleanup of a cancelled call may wait, and the record fails of the timeout only."""
    cleaned = []

    async def careful(record: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            for _ in range(10):
                await asyncio.sleep(0.001)
            cleaned.append(record["n"])

    out, _ = process(loop, careful, [{"n": n} for n in range(5)], timeout=0.02, concurrency=2)
    assert sorted(cleaned) == list(range(5))
    assert [r["_error"]["kind"] for r in out] == ["timeout"] * 5


@pytest.mark.parametrize("loop", LOOPS)
def test_a_timeout_inside_user_code(loop: Any) -> None:
    """`asyncio.timeout` in user code fails its record as an exception, and only that one."""

    async def own(record: dict[str, Any]) -> None:
        async with asyncio.timeout(0.001 if record["n"] == 0 else None):
            await asyncio.sleep(1000 if record["n"] == 0 else 0)

    out, summary = process(loop, own, [{"n": 0}, {"n": 1}])
    assert "TimeoutError" in out[0]["_error"]["message"]
    assert out[1] == {"n": 1}
    assert (summary.ok, summary.failed) == (1, 1)


async def lookup(record: dict[str, Any]) -> None:
    task = asyncio.create_task(asyncio.sleep(1000))
    task.cancel()
    await task


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_task_inside_one_stage(loop: Any) -> None:
    """Awaiting a task that was cancelled fails the record, as any other exception does."""
    out, summary = process(loop, lookup, [{"n": 0}, {"n": 1}])
    assert [r["_error"]["kind"] for r in out] == ["exception"] * 2
    assert summary.failed == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_task_inside_lists_and_several_stages(loop: Any) -> None:
    """The same for a list, and where the stage is not the only one."""

    @enricher(batch=2, wait_s=0.001)
    async def gather(records: list[dict[str, Any]]) -> None:
        await lookup(records[0])

    for stages in ([gather], [lambda record: None, lookup]):
        sink = MemorySink()
        with asyncio.Runner(loop_factory=loop) as runner:
            summary = runner.run(Pipeline(stages).run(MemorySource([{"n": 0}] * 2), sink))
        assert summary.failed == 2
        assert all("CancelledError" in r["_error"]["message"] for r in sink.records)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ordered", [True, False])
def test_window_of_lists(loop: Any, ordered: bool) -> None:
    """Records that wait in lists count for the window as well."""
    begun = most = done = 0

    async def first(record: dict[str, Any]) -> None:
        nonlocal begun, most
        begun += 1
        most = max(most, begun - done)

    @enricher(batch=5000, wait_s=0.02)
    async def gather(records: list[dict[str, Any]]) -> list[Any]:
        nonlocal done
        await asyncio.sleep(0)
        done += len(records)
        return [None] * len(records)

    sink = MemorySink()
    pipeline = Pipeline([first, gather], concurrency=4, ordered=ordered)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(pipeline.run(MemorySource({"n": n} for n in range(4000)), sink))
    assert len(sink.lines) == 4000
    assert 4 < most <= 1024
