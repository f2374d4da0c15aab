"""Nothing is left behind after a run."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from streamproc import InputError, Pipeline
from streamproc.testing import MemorySink, MemorySource


async def nap(record: dict[str, Any]) -> None:
    await asyncio.sleep(record.get("s", 0))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def no_more(now: tuple[int, int], before: tuple[int, int]) -> bool:
    return now[0] <= before[0] and now[1] <= before[1]


def check(main: Any) -> None:
    """Run `main` twice: the second time must leave what the first one left."""

    async def left_behind() -> tuple[int, int]:
        assert asyncio.all_tasks() == {asyncio.current_task()}
        # those of the loop's pool stay, as many as were needed at once
        ours = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
        return descriptors(), len(ours)

    async def twice() -> None:
        await main()
        first = await left_behind()
        await main()
        for _ in range(200):  # a thread that reads for a generator ends when it looks again
            if no_more(await left_behind(), first):
                break
            await asyncio.sleep(0.05)
        assert no_more(await left_behind(), first)

    with asyncio.Runner(debug=True) as runner:
        runner.run(twice())
    gc.collect()


def test_after_a_run(tmp_path: Path) -> None:
    """No pending task, open file or thread after `Pipeline.run`."""
    (tmp_path / "in").write_bytes(b"{}\n" * 100)

    async def main() -> None:
        await Pipeline([nap]).run(tmp_path / "in", tmp_path / "out")

    check(main)


def test_after_an_error(tmp_path: Path) -> None:
    """The same after a run that could not begin."""

    async def main() -> None:
        with pytest.raises(InputError):
            await Pipeline([nap]).run(tmp_path / "missing", tmp_path / "out")

    check(main)


def test_after_a_cancellation() -> None:
    """The same after a run that was cancelled from outside."""

    async def main() -> None:
        task = asyncio.create_task(
            Pipeline([nap]).run(MemorySource([{"s": 1000}] * 100), MemorySink())
        )
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    check(main)


def test_after_breaking_out_of_a_stream() -> None:
    """The same after `async for ... break`."""

    async def main() -> None:
        stream = Pipeline([nap]).stream({"n": n} for n in range(100_000))
        async for record in stream:
            assert record == {"n": 0}
            break
        await stream.aclose()  # type: ignore[attr-defined]

    check(main)
