"""`Pipeline.stream` and `Pipeline.run`, as a program uses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from streamproc import InputError, OutputError, Pipeline
from streamproc.testing import MemorySink, MemorySource, ScriptedEnricher

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def double(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


async def collect(records: Any, *stages: Any, **settings: Any) -> list[Any]:
    stream = Pipeline(stages or ["none"], **settings).stream(records)
    return [record async for record in stream]


def on(loop: Any, coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=loop, debug=True) as runner:
        return runner.run(coroutine)


@pytest.mark.parametrize("loop", LOOPS)
def test_records_come_out_while_others_are_still_to_come(loop: Any) -> None:
    """A record is yielded before the next one is given: nothing waits for a batch to fill."""

    async def main() -> None:
        taken = asyncio.Event()

        async def source() -> AsyncIterator[dict[str, Any]]:
            for n in range(3):
                yield {"n": n}
                await taken.wait()
                taken.clear()

        seen = []
        async for record in Pipeline([double]).stream(source()):
            seen.append(record["double"])
            taken.set()
        assert seen == [0, 2, 4]

    on(loop, asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("loop", LOOPS)
def test_breaking_out_cancels_and_cleans_up(loop: Any) -> None:
    """After a `break` the calls in flight are cancelled and the source is read no further."""
    cancelled = []

    async def hang(record: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(1000 if record["n"] else 0)
        except asyncio.CancelledError:
            cancelled.append(record["n"])
            raise

    async def endless() -> AsyncIterator[dict[str, Any]]:
        n = 0
        while True:
            yield {"n": n}
            n += 1

    async def main() -> None:
        before = asyncio.all_tasks()
        stream = Pipeline([hang], concurrency=4).stream(endless())
        async for record in stream:
            assert record == {"n": 0}
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert asyncio.all_tasks() == before

    on(loop, asyncio.wait_for(main(), 60))
    assert set(cancelled) <= {1, 2, 3, 4}


def test_lines_as_people_have_them() -> None:
    """Indented JSON, line ends, blanks and nonsense in strings and bytes are one record each."""
    record = {"a": [1, {"b": "ü"}], "n": 10**30}
    given = [
        json.dumps(record, indent=2), json.dumps(record).encode() + b"\r\n", record, "", b"\n",
        "nonsense", "[1]", '{"a":"raw\nnewline"}',
    ]  # fmt: skip
    out = asyncio.run(collect(given))
    assert out[:3] == [record] * 3
    kinds = [r["_error"]["kind"] for r in out[3:]]
    assert kinds == ["malformed", "not_an_object", "malformed"]
    assert [r["_error"]["line"] for r in out[3:]] == [6, 7, 8]


def test_what_is_given_is_not_changed() -> None:
    """Records that are given as dicts are the caller's: stages see copies."""

    def vandal(record: dict[str, Any]) -> dict[str, Any]:
        record["inner"].clear()
        record["more"] = 1
        return record

    given = {"inner": {"a": 1}}
    asyncio.run(collect([given], vandal))
    assert given == {"inner": {"a": 1}}


def test_a_pipeline_can_run_again() -> None:
    """A pipeline is a description: it runs as often as it is asked to, also side by side."""

    async def main() -> None:
        pipeline = Pipeline([double], concurrency=2)

        async def once(first: int) -> list[Any]:
            given = [{"n": n} for n in range(first, first + 100)]
            return [r["double"] async for r in pipeline.stream(given)]

        both = await asyncio.gather(once(0), once(1000))
        assert both == [[2 * n for n in range(k, k + 100)] for k in (0, 1000)]
        assert await once(5) == [2 * n for n in range(5, 105)]

    asyncio.run(main())


def test_failures_in_a_stream() -> None:
    """Failed records are yielded with their `_error`; with `max_errors` the stream ends early."""
    script = ScriptedEnricher("n", {n: ValueError(str(n)) for n in range(0, 10_000, 2)}, {"x": 1})
    given = [{"n": n} for n in range(10_000)]
    out = asyncio.run(collect(given, script, max_errors=3, concurrency=1))
    rest = [r for r in out if r.get("_error", {}).get("kind") == "shutdown"]
    assert out[len(out) - len(rest) :] == rest
    out = out[: len(out) - len(rest)]
    assert len(out) == 5
    assert [r["n"] for r in out] == list(range(len(out)))
    assert len(out) < 5000
    assert all(("_error" in r) == (r["n"] % 2 == 0) for r in out)
    assert len(script.calls) == len(out)


def test_from_file(tmp_path: Path) -> None:
    """A pipeline file with Python stages streams as well as it runs."""
    (tmp_path / "enrich_from_file.py").write_text("def plus(record): return {'m': record['n'] + 1}")
    (tmp_path / "p.toml").write_text(
        f'concurrency = 3\n[[stage]]\npython = "{tmp_path}/enrich_from_file.py:plus"\n'
        'into = "out.m"\nwhen = "n > `1`"\n'
    )
    pipeline = Pipeline.from_file(tmp_path / "p.toml")
    assert pipeline.settings.concurrency == 3

    async def main() -> list[Any]:
        return [r async for r in pipeline.stream([{"n": 1}, {"n": 2}])]

    assert asyncio.run(main()) == [{"n": 1}, {"n": 2, "out": {"m": {"m": 3}}}]


def test_errors_carry_the_account(tmp_path: Path) -> None:
    """What ends a run early is raised with the summary of what was done until then."""
    (tmp_path / "in").write_bytes(b"{}\n{}\n")
    with pytest.raises(OutputError) as full:
        asyncio.run(Pipeline(["none"]).run(tmp_path / "in", "/dev/full"))
    assert full.value.summary.unprocessed == 2  # type: ignore[attr-defined]
    with pytest.raises(InputError):
        asyncio.run(Pipeline(["none"]).run(tmp_path / "missing", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_sources_and_sinks_for_tests() -> None:
    """`MemorySink` shows bytes, lines and records; `ScriptedEnricher` what it was asked."""
    script = ScriptedEnricher("n", {1: {"x": 1}}, default=None)
    sink = MemorySink()
    summary = asyncio.run(Pipeline([("s", script)]).run(MemorySource(['{"n": 1}', {"n": 2}]), sink))
    assert sink.data == b'{"n": 1,"s":{"x":1}}\n{"n":2}\n'
    assert sink.lines == sink.data.splitlines()
    assert sink.records == [{"n": 1, "s": {"x": 1}}, {"n": 2}]
    assert script.calls == [{"n": 1}, {"n": 2}]
    assert (summary.ok, summary.bytes_out) == (2, sink.written_bytes)
