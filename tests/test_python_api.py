"""streamproc as a library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
