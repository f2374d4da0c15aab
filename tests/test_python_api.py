"""streamproc as a library."""

from __future__ import annotations

import asyncio
import doctest
import io
import threading
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import streamproc
from streamproc import ConfigError, Pipeline


async def double(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


async def collect(records: Any, **settings: Any) -> list[Any]:
    return [record async for record in Pipeline([double], **settings).stream(records)]


async def later() -> AsyncIterator[dict[str, Any]]:
    for n in range(3):
        await asyncio.sleep(0)
        yield {"n": n}


@pytest.mark.parametrize(
    "records",
    [
        [{"n": n} for n in range(3)],
        [f'{{"n":{n}}}' for n in range(3)],
        [b'{"n":%d}\n' % n for n in range(3)],
    ],
)
def test_stream(records: list[Any]) -> None:
    """Dicts and lines go in, enriched dicts come out."""
    assert asyncio.run(collect(records)) == [{"n": n, "double": 2 * n} for n in range(3)]


def test_stream_of_an_async_iterable() -> None:
    """Records may come from an async generator."""
    assert asyncio.run(collect(later())) == [{"n": n, "double": 2 * n} for n in range(3)]


def test_a_large_stream_stays_bounded() -> None:
    """The source is read only as far as the window allows."""
    given = 0

    def source() -> Any:
        nonlocal given
        for n in range(100_000):
            given = n
            yield {"n": n}

    async def main() -> None:
        stream = Pipeline([double]).stream(source())
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert given < 5000


def test_from_file_and_run(tmp_path: Path) -> None:
    """A pipeline file describes a pipeline; files are named by path."""
    (tmp_path / "p.toml").write_text('[[stage]]\nbuiltin = "none"\n')
    (tmp_path / "in").write_bytes(b'{"a":1}\nbad\n')
    pipeline = Pipeline.from_file(tmp_path / "p.toml")
    summary = asyncio.run(pipeline.run(tmp_path / "in", tmp_path / "out"))
    assert (summary.ok, summary.failed, summary.exit_code) == (1, 1, 3)
    assert (tmp_path / "out").read_bytes().startswith(b'{"a":1}\n{"_error"')


def test_configuration_errors() -> None:
    """All that is wrong is said at once."""
    with pytest.raises(ConfigError) as caught:
        Pipeline(["leads"], concurency=3, timeout="soon")
    assert len(caught.value.problems) == 2


def test_everything_promised_is_there() -> None:
    """`__all__` is the front door."""
    for name in streamproc.__all__:
        assert getattr(streamproc, name) is not None


async def slow(record: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.001)
    return {"double": record["n"] * 2}


def numbered(count: int) -> Iterator[dict[str, Any]]:
    return ({"n": n} for n in range(count))


DOUBLED = [{"n": n, "double": 2 * n} for n in range(3)]
LINES = "".join(f'{{"n":{n}}}\n' for n in range(3))


@pytest.mark.parametrize("form", ["list", "generator", "async", "text", "binary", "name", "lines"])
@pytest.mark.parametrize("sink", ["list", "text", "binary", "name"])
def test_run_takes_what_is_at_hand(tmp_path: Path, form: str, sink: str) -> None:
    """Lists, iterables and open files, in and out; run_sync needs no loop."""
    (tmp_path / "in").write_text(LINES)
    given: Any = {
        "list": [{"n": n} for n in range(3)], "generator": numbered(3), "async": later(),
        "text": io.StringIO(LINES), "binary": io.BytesIO(LINES.encode()),
        "name": tmp_path / "in", "lines": LINES.splitlines(),
    }[form]  # fmt: skip
    taken: Any = {
        "list": [], "text": io.StringIO(), "binary": io.BytesIO(), "name": tmp_path / "out"
    }[sink]  # fmt: skip
    summary = Pipeline([double]).run_sync(given, taken)
    assert (summary.ok, summary.exit_code) == (3, 0)
    if sink == "list":
        assert taken == DOUBLED
    else:
        data = taken.read_text() if sink == "name" else taken.getvalue()
        lines = data.splitlines() if isinstance(data, str) else data.decode().splitlines()
        assert lines == [f'{{"n":{n},"double":{2 * n}}}' for n in range(3)]


@pytest.mark.parametrize("policies", [{}, {"retry": True}, {"when": "n > `1`"}])
def test_each_run_has_an_account_of_its_own(policies: Any) -> None:
    """Of its stages, too: what one did before, or broke off, is in none of the next."""

    async def twice(record: Any) -> Any:
        return {"double": record["n"] * 2}

    pipeline = Pipeline([{"name": "twice", "python": twice, **policies}])
    next(pipeline.map([{"n": n} for n in range(100)])).clear()
    first, second = (pipeline.run_sync([{"n": n} for n in range(5)], []) for _ in range(2))
    stage = first.stages["twice"]
    assert stage["calls"] + stage["skipped"] == first.received == 5
    for name in ("calls", "failed_calls", "skipped", "skipped_when"):
        assert second.stages["twice"][name] == stage[name]
    assert second.requests == first.requests


def test_map_is_a_plain_generator() -> None:
    """In order, dicts; also where a loop runs already, as in a notebook."""
    assert list(Pipeline([double]).map(numbered(3))) == DOUBLED

    async def main() -> list[Any]:
        return [*Pipeline([double]).map(numbered(3)), Pipeline([double]).run_sync(numbered(3), [])]

    assert asyncio.run(main())[:3] == DOUBLED


def test_map_reads_no_further_than_it_is_read() -> None:
    """Backpressure both ways, and closing it early ends everything."""
    given = 0
    ended = threading.Event()

    def source() -> Iterator[dict[str, Any]]:
        nonlocal given
        try:
            for n in range(1_000_000):
                given = n
                yield {"n": n}
        finally:
            ended.set()

    records = Pipeline([slow], concurrency=4).map(source())
    assert next(records) == {"n": 0, "double": 0}
    records.close()  # type: ignore[attr-defined]
    assert ended.wait(60)
    assert given < 5000
    assert "streamproc" not in {thread.name for thread in threading.enumerate()}


def test_a_record_comes_out_while_the_next_is_not_there() -> None:
    """A source that blocks holds back nothing that is done."""
    first_is_out = threading.Event()

    def source() -> Iterator[dict[str, Any]]:
        yield {"n": 0}
        assert first_is_out.wait(60)
        yield {"n": 1}

    out = []
    for record in Pipeline([slow]).map(source()):
        out.append(record)
        first_is_out.set()
    assert out == DOUBLED[:2]


def test_errors_of_the_source_are_its_own() -> None:
    """What was read before is not lost from the account, the error is the one that was raised."""

    def source() -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(Pipeline([double]).map(source()))
    with pytest.raises(streamproc.InputError, match="nowhere"):
        Pipeline(["none"]).run_sync("nowhere", [])
    with pytest.raises(TypeError, match="source: expected the name of a file"):
        Pipeline(["none"]).run_sync({"a": 1}, [])
    with pytest.raises(TypeError, match="sink: expected the name of a file"):
        Pipeline(["none"]).run_sync([], 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stage",
    [
        {"http": {"url": "http://127.0.0.1:1/{x}"}, "name": "x"},
        ("x", {"http": {"url": "http://127.0.0.1:1/{x}"}}),
        ("x", "http://127.0.0.1:1/{x}"),
        ("x", double), double, {"python": double, "timeout": "5s"}, "filter:n", {"filter": "n"},
    ],
)  # fmt: skip
def test_forms_of_stages(stage: Any) -> None:
    """A table, a URL with a name, a function: each alone or in a pair."""
    out = list(Pipeline([stage]).map([{"n": 1}]))
    assert out[0]["n"] == 1
    assert "_error" not in out[0]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["lead"], "stage[0]: lead: expected leads"),
        ("leads", "expected a list of stages, got str: ['leads']"),
        ([5], "stage[0]: expected a SPEC or URL (str), a function, a table"),
        (["http://h/{x}"], "a URL needs a name for its result: (\"company\", 'http://h/{x}')"),
        ([("a b", "leads")], "a name has letters, digits, _ and -, got 'a b'"),
        ([lambda: 1], "cannot be called with one record"),
    ],
)
def test_errors_in_words_of_python(stages: Any, message: str) -> None:
    """Without flags of the command line."""
    with pytest.raises(ConfigError) as caught:
        Pipeline(stages, on_error="annotate")
    assert message in str(caught.value)
    assert " -e" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        Pipeline(["none"], on_error="dead-letter")
    assert "--" not in str(caught.value)
    with pytest.raises(streamproc.StreamprocError, match=r"^resume needs the checkpoint FILE"):
        Pipeline(["none"], resume=True).run_sync([{}], [])
    with pytest.raises(ConfigError, match=r"^rate: belongs to a stage: write it into its table$"):
        Pipeline(["none"], rate="5/s")


def test_examples_run() -> None:
    """Those of the docstrings."""
    for name in ("streamproc.assembly.pipeline",):
        found = doctest.testmod(import_module(name))
        assert found.attempted > 3
        assert found.failed == 0
