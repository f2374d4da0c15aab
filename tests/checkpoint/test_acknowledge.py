"""`--ack-fd`: counts for a script, which may be slow, or gone."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamproc.checkpoint.acknowledge import Acknowledger
from streamproc.errors import UsageError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


async def told(writing: int, *counts: int) -> None:
    acknowledger = Acknowledger(writing)
    for count in counts:
        acknowledger.acknowledge(count)
    await acknowledger.close()


def test_each_count_is_a_line_and_none_comes_twice(pipe: tuple[int, int]) -> None:
    asyncio.run(told(pipe[1], 1, 5, 5, 9))
    assert os.read(pipe[0], 100) == b"1\n5\n9\n"


def test_a_reader_that_is_slow_gets_the_last_count(pipe: tuple[int, int]) -> None:
    """Counts in between are not kept: a later one says more."""
    reading, writing = pipe
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)

    async def main() -> None:
        acknowledger = Acknowledger(writing)
        for count in range(1000):
            acknowledger.acknowledge(count)
        assert os.read(reading, 8192) == b"x" * 4096
        await acknowledger.close()

    asyncio.run(main())
    assert os.read(reading, 8192) == b"999\n"


def test_a_reader_that_is_gone_is_told_of_once(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on without it."""
    os.close(pipe[0])
    with caplog.at_level(logging.WARNING, "streamproc"):
        asyncio.run(told(pipe[1], 1, 2, 3))
    assert [each.message.partition(":")[0] for each in caplog.records] == [
        "nobody takes acknowledgements any more"
    ]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A descriptor that is not open, or was opened for reading."""
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        for each in (fd, 9999):
            with pytest.raises(UsageError, match=f"--ack-fd {each}: not open for writing"):
                Acknowledger(each)
    finally:
        os.close(fd)
