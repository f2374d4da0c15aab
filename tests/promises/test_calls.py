"""How user code is called, timed out, gathered and left alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from streamproc import Pipeline, RecordError, Summary, enricher, transform
from streamproc.errors import TooManyAbandonedError
from streamproc.testing import MemorySink, MemorySource, ScriptedEnricher


def process(stages: Any, records: Any, **settings: Any) -> tuple[list[Any], Summary]:
    sink = MemorySink()
    summary = asyncio.run(Pipeline(stages, **settings).run(MemorySource(records), sink))
    return sink.records, summary


def test_timeout_cancels_and_awaits_cleanup() -> None:
    """A call that takes too long is cancelled; its cleanup runs before the record fails."""
    cleaned = []

    async def hang(record: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0)
            cleaned.append(record["n"])

    out, _ = process([hang], [{"n": 1}, {"n": 2}], timeout="20ms")
    assert sorted(cleaned) == [1, 2]
    assert {r["_error"]["kind"] for r in out} == {"timeout"}


def test_swallowed_cancellation_is_a_timeout_all_the_same() -> None:
    """Code that turns its cancellation into a result was too late, whatever it returns."""

    async def stubborn(record: dict[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return {"late": True}
        return {}

    out, summary = process([stubborn], [{"n": 1}, {"n": 2}], timeout="20ms", concurrency=1)
    assert [r["_error"]["kind"] for r in out] == ["timeout", "timeout"]
    assert summary.failed == 2


@pytest.mark.parametrize("hanging", [2, 3])
def test_abandoned_calls(hanging: int) -> None:
    """A call that ignores its cancellation is abandoned and replaced, up to -j of them."""
    release = asyncio.Event()

    async def ignore(record: dict[str, Any]) -> dict[str, Any]:
        while record.get("hang") and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return {"ok": True}

    async def main() -> tuple[list[Any], int]:
        sink = MemorySink()
        records = [{"hang": 1}] * hanging + [{"n": 1}]
        pipeline = Pipeline([ignore], timeout="20ms", concurrency=2)
        try:
            summary = await pipeline.run(MemorySource(records), sink)
        except TooManyAbandonedError as error:
            summary = error.summary  # type: ignore[attr-defined]
        release.set()
        await asyncio.sleep(0.01)
        return sink.records, summary.exit_code

    out, code = asyncio.run(main())
    assert len(out) == hanging + 1
    assert code == (3 if hanging == 2 else 1)
    assert [r["_error"]["kind"] for r in out[:hanging]] == ["timeout"] * hanging


def test_blocking_functions_run_side_by_side() -> None:
    """`blocking=True` runs in threads, as many at once as the concurrency."""
    together = threading.Barrier(4, timeout=60)

    @enricher(blocking=True)
    def meet(record: dict[str, Any]) -> dict[str, Any]:
        together.wait()
        return {"daemon": threading.current_thread().daemon}

    out, _ = process([meet], [{}] * 8, concurrency=4)
    assert out == [{"daemon": True}] * 8


def test_blocking_timeout_goes_on() -> None:
    """A blocking call that outlives its timeout fails its record, and the run goes on."""
    release = threading.Event()

    @enricher(blocking=True)
    def block(record: dict[str, Any]) -> dict[str, Any]:
        if record.get("hang"):
            release.wait(60)
        return {"ok": True}

    out, _ = process([block], [{"hang": 1}, {"n": 1}], timeout="500ms", concurrency=1)
    release.set()
    assert out[0]["_error"]["kind"] == "timeout"
    assert out[1] == {"n": 1, "ok": True}


def test_batches() -> None:
    """A batched function gets full lists as long as there are records, and the rest at last."""
    sizes = []

    @enricher(batch=10, wait_s=1)
    async def gather(records: list[dict[str, Any]]) -> list[Any]:
        sizes.append(len(records))
        await asyncio.sleep(0)
        return [{"twice": r["n"] * 2} for r in records]

    out, _ = process([gather], [{"n": n} for n in range(25)], concurrency=1)
    assert sizes == [10, 10, 5]
    assert out == [{"n": n, "twice": n * 2} for n in range(25)]


def test_batch_failures() -> None:
    """A list that fails, times out or comes back with another length fails all its records."""

    @enricher(batch=2, wait_s=60)
    async def wrong(records: list[dict[str, Any]]) -> list[Any]:
        match records[0]["how"]:
            case "short":
                return [None]
            case "raise":
                raise ValueError("no")
            case "hang":
                await asyncio.sleep(1000)
        return [None] * len(records)

    how = ["short", "short", "raise", "raise", "hang", "hang", "good", "good"]
    out, _ = process([wrong], [{"how": h} for h in how], timeout="50ms")
    kinds = [r.get("_error", {}).get("kind") for r in out]
    assert kinds == ["exception"] * 4 + ["timeout"] * 2 + [None] * 2
    assert "returned 1 results" in out[0]["_error"]["message"]


def test_transform() -> None:
    """None filters a record out, a list fans it out, a dict replaces it."""

    @transform
    def reshape(record: dict[str, Any]) -> Any:
        return {0: None, 1: {"one": record["n"]}, 2: [{"a": 1}, {"b": 2}], 3: []}[record["n"]]

    out, summary = process([reshape, lambda r: {"next": True}], [{"n": n} for n in range(4)])
    assert out == [{"one": 1, "next": True}, {"a": 1, "next": True}, {"b": 2, "next": True}]
    assert (summary.ok, summary.filtered, summary.lines_out) == (2, 2, 3)


@pytest.mark.parametrize(("mode", "lines"), [("annotate", 2), ("drop", 0)])
def test_fan_out_with_a_failure(mode: str, lines: int) -> None:
    """A record fanned out has failed if any of its lines has; dropped, none is written."""

    @transform
    def split(record: dict[str, Any]) -> list[Any]:
        return [{"n": 0}, {"n": 1}]

    async def inverse(record: dict[str, Any]) -> dict[str, Any]:
        return {"inverse": 1 / record["n"]}

    out, summary = process([split, inverse], [{}], on_error=mode)
    assert len(out) == summary.lines_out == lines
    assert summary.ok == 0
    assert summary.failed + summary.dropped == 1


def test_errors_name_stage_and_kind() -> None:
    """What the stages before a failure added is kept; a RecordError chooses its kind."""
    answers = {1: ValueError("bad"), 2: RecordError("bad_answer", "odd", code=7), 3: {"x": 1}}
    script = ScriptedEnricher("n", answers)
    out, _ = process([("first", lambda r: 1), ("second", script)], [{"n": n} for n in (1, 2, 3)])
    assert [r["first"] for r in out] == [1, 1, 1]
    one, two = out[0]["_error"], out[1]["_error"]
    assert (one["stage"], one["kind"], one["message"]) == ("second", "exception", "ValueError: bad")
    assert (two["kind"], two["message"], two["code"]) == ("bad_answer", "odd", 7)
    assert out[2]["second"] == {"x": 1}
    assert script.calls[0] == {"n": 1, "first": 1}


@pytest.mark.parametrize(
    "value", [5, "text", float("nan"), {1}, {"a": float("inf")}, {"_error": 1}]
)
def test_what_cannot_be_merged_fails_its_record(value: Any) -> None:
    """A wrong return value fails the record with a message, never the run."""

    async def give(record: dict[str, Any]) -> Any:
        return value

    for function in (lambda r: value, give):
        out, summary = process([function], [{"n": 1}, {"n": 2}])
        assert summary.failed == 2
        assert out[0]["_error"]["kind"] == "exception"
        assert out[0]["n"] == 1


def test_lifecycle() -> None:
    """A class is created, entered before the first record and left after the last."""
    events = []

    class Model:
        async def __aenter__(self) -> Model:
            events.append("enter")
            return self

        async def __aexit__(self, *error: Any) -> None:
            events.append("exit")

        def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
            events.append("call")
            return {"y": record["x"] + 1}

    out, _ = process([Model], [{"x": 1}])
    assert out == [{"x": 1, "y": 2}]
    assert events == ["enter", "call", "exit"]
