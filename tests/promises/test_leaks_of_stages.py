"""Nothing is left behind by the more unusual stages and ends either."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from streamproc import Pipeline, enricher
from streamproc.errors import ConfigError, OutputError
from streamproc.testing import MemorySink, MemorySource

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
Loop = Callable[[], asyncio.AbstractEventLoop]


async def measured(main: Any) -> tuple[int, set[str]]:
    await main()
    for thread in threading.enumerate():
        if thread.name == "streamproc-blocking":
            await asyncio.to_thread(thread.join, 60)  # it was told to end
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()
    return len(os.listdir("/proc/self/fd")), {t.name for t in threading.enumerate()}


def check(loop: Loop, main: Any) -> None:
    """The second run leaves what the first one left, and nobody complains to the loop."""
    complaints: list[dict[str, Any]] = []

    async def twice() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        first = await measured(main)
        second = await measured(main)
        assert second[0] == first[0]
        assert "streamproc-blocking" not in second[1]

    with asyncio.Runner(loop_factory=loop, debug=True) as runner:
        runner.run(twice())
    gc.collect()
    assert complaints == []


@enricher(blocking=True)
def thread(record: dict[str, Any]) -> None:
    return None


@enricher(batch=7, wait_s=0.001)
async def together(records: list[dict[str, Any]]) -> list[Any]:
    await asyncio.sleep(max(r.get("s", 0) for r in records))
    return [None] * len(records)


async def nap(record: dict[str, Any]) -> None:
    await asyncio.sleep(record.get("s", 0))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stages", [[thread], [together], [nap, together, thread]])
def test_after_a_run(loop: Loop, stages: list[Any]) -> None:
    """Threads end, lists are gone."""

    async def main() -> None:
        await Pipeline(stages, concurrency=4).run(MemorySource([{}] * 50), MemorySink())

    check(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stages", [[together], [nap, together], [thread, nap]])
def test_after_a_cancellation(loop: Loop, stages: list[Any]) -> None:
    """A run that is cancelled while lists and calls are under way leaves none of them."""

    async def main() -> None:
        pipeline = Pipeline(stages, concurrency=4)
        run = asyncio.create_task(pipeline.run(MemorySource([{"s": 1000}] * 50), MemorySink()))
        for _ in range(30):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    check(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_after_a_full_disk(loop: Loop, tmp_path: Path) -> None:
    """An output that fails takes what is in flight with it, accounted for, and closes all."""
    (tmp_path / "in").write_bytes(b'{"s":1000}\n' * 5 + b"{}\n" * 50)

    async def main() -> None:
        pipeline = Pipeline([nap], ordered=False, dead_letter=str(tmp_path / "dead"))
        with pytest.raises(OutputError) as caught:
            await pipeline.run(tmp_path / "in", "/dev/full")
        assert caught.value.summary.unprocessed == 55  # type: ignore[attr-defined]

    check(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_after_a_class_that_cannot_be_entered(loop: Loop, tmp_path: Path) -> None:
    """Stages entered before it are left, inputs are closed."""
    (tmp_path / "in").write_bytes(b"{}\n")
    left = []

    class Good:
        async def __aenter__(self) -> Good:
            return self

        async def __aexit__(self, *error: Any) -> None:
            left.append(True)

        def __call__(self, record: dict[str, Any]) -> None:
            return None

    class Bad(Good):
        async def __aenter__(self) -> Good:
            raise OSError("no model")

    async def main() -> None:
        with pytest.raises(ConfigError, match="no model"):
            await Pipeline([Good, Bad]).run(tmp_path / "in", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    check(loop, main)
    assert left == [True, True]


@pytest.mark.parametrize("loop", LOOPS)
def test_after_a_source_that_raises(loop: Loop) -> None:
    """An iterable that raises ends the stream with its own error."""

    def source() -> Iterator[dict[str, Any]]:
        yield {"s": 1000}
        raise KeyError("source")

    async def main() -> None:
        with pytest.raises(KeyError):
            async for _ in Pipeline([nap]).stream(source()):
                pass

    check(loop, main)
