"""Coroutine functions: calls that do not wait are made in a row, and nobody can tell."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import Pipeline
from streamproc.engines.eager import begin

WAYS = ("adds", "changes", "nothing", "raises", "returns_text", "late", "late_raises", "limited")


def ran(call: Any, lines: list[bytes], **top: Any) -> tuple[list[Any], dict[str, Any]]:
    """What comes out, and the summary of the stage."""
    out: list[Any] = []
    summary = Pipeline([call], **top).run_sync(lines, out)
    return out, dict(next(iter(summary.stages.values())))


class Ways:
    """Does what the record says, and keeps who was called."""

    def __init__(self) -> None:
        self.called: list[int] = []

    async def __call__(self, record: dict[str, Any]) -> Any:
        self.called.append(record["n"])
        match record["way"]:
            case "adds":
                return {"new": record["n"]}
            case "changes":
                record["new"] = record["n"]
                return record
            case "nothing":
                return None
            case "raises":
                raise ValueError("no")
            case "returns_text":
                return "text"
            case "late":
                await asyncio.sleep(0)
                return {"new": record["n"]}
            case "late_raises":
                await asyncio.sleep(0)
                raise ValueError("no")
            case "limited":
                try:
                    async with asyncio.timeout(0.001):
                        await asyncio.sleep(3600)
                except TimeoutError:
                    await asyncio.sleep(0)
                    return {"new": record["n"]}
        raise AssertionError(record)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(WAYS), st.booleans(), st.integers(1, 90)), max_size=6),
    st.integers(1, 5),
)
def test_every_record_is_called_once_and_comes_out_as_it_should(
    runs: list[tuple[str, bool, int]], concurrency: int
) -> None:
    ways = [(way, is_odd) for way, is_odd, length in runs for _ in range(length)]
    lines, expected = list[bytes](), list[Any]()
    for n, (way, is_odd) in enumerate(ways):
        record = {"n": n, "way": way}
        space = b"  " if is_odd else b""
        lines.append(space + json.dumps(record).encode() + space)
        if way in ("raises", "late_raises", "returns_text"):
            expected.append((record, "exception"))
        else:
            expected.append((record | ({"new": n} if way != "nothing" else {}), None))
    call = Ways()
    out, stage = ran(call, lines, concurrency=concurrency)
    assert sorted(call.called) == list(range(len(ways)))
    told = [({k: v for k, v in each.items() if k != "_error"}, each) for each in out]
    assert [(each, full.get("_error", {}).get("kind")) for each, full in told] == expected
    assert stage["calls"] == len(ways)
    assert stage["failed_calls"] == sum(way.endswith("raises") for way, _ in ways)


def test_lines_that_are_done_do_not_wait_for_a_call_behind_them() -> None:
    """They are out while it waits: it waits for that."""
    count, seen = 500, 0
    are_out = asyncio.Event()

    async def call(record: dict[str, Any]) -> None:
        if record["n"] == count - 1:
            await are_out.wait()

    async def see() -> None:
        nonlocal seen
        async for _ in Pipeline([call], concurrency=1).stream({"n": n} for n in range(count)):
            seen += 1
            if seen == count - 1:
                are_out.set()

    asyncio.run(see())
    assert seen == count


def test_calls_wait_side_by_side_as_soon_as_they_wait() -> None:
    """Four at a time, and after 200 that did not: none of them goes on alone."""
    barrier = asyncio.Barrier(4)

    async def call(record: dict[str, Any]) -> None:
        if record["n"] >= 200:
            await barrier.wait()

    out, _ = ran(call, [b'{"n":%d}' % n for n in range(240)], concurrency=4)
    assert [each["n"] for each in out] == list(range(240))


@pytest.mark.parametrize("before", [0, 1, 70])
def test_a_time_limit_holds_for_a_call_that_was_begun_in_a_row(before: int) -> None:
    cleaned_up: list[int] = []

    async def call(record: dict[str, Any]) -> None:
        if record["n"] == before:
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned_up.append(record["n"])

    lines = [b'{"n":%d}' % n for n in range(before + 2)]
    out, _ = ran(call, lines, concurrency=2, timeout="50ms")
    kinds = [each.get("_error", {}).get("kind") for each in out]
    assert kinds == [None] * before + ["timeout", None]
    assert cleaned_up == [before]


def test_what_was_begun_hears_what_is_thrown_at_whoever_awaits_it() -> None:
    asyncio.run(hears())


async def hears() -> None:
    turns = [asyncio.get_running_loop().create_future() for _ in range(2)]
    heard: list[str] = []

    async def stubborn() -> str:
        try:
            await turns[0]
        except asyncio.CancelledError:
            heard.append("cancelled")
        heard.append(await turns[1])
        return "done"

    waiting = begin(stubborn())
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    turns[1].set_result("the second")
    assert await task == "done"
    assert heard == ["cancelled", "the second"]
