"""A file ends with a whole write, whatever happened to the process or the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from streamproc.errors import CreateError, OutputError
from streamproc.sinks.file import FileSink


def written(sink: FileSink, *data: bytes) -> None:
    async def main() -> None:
        async with sink:
            for each in data:
                await sink.write(each)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("before", "append", "repeats", "after"),
    [
        (b"old\n", False, False, b'{"n":1}\n'),
        (b'{"a":1}\n', True, False, b'{"a":1}\n{"n":1}\n'),
        (b'{"a":1}', True, False, b'{"a":1}\n{"n":1}\n'),  # its writer gave it no newline
        (b'{"a":1}\n{"n"', True, False, b'{"a":1}\n{"n"\n{"n":1}\n'),
        (b'{"a":1}\n{"n"', True, True, b'{"a":1}\n{"n":1}\n'),  # it is written again
        (b'{"a":1}\n{"b":2}', True, True, b'{"a":1}\n{"b":2}\n{"n":1}\n'),
    ],
)
def test_what_was_there_and_what_comes_are_lines(
    tmp_path: Path, before: bytes, append: bool, repeats: bool, after: bytes
) -> None:
    path = tmp_path / "out"
    path.write_bytes(before)
    written(FileSink(str(path), append=append, repeats=repeats), b'{"n":1}\n')
    assert path.read_bytes() == after


def test_a_disk_that_is_full_leaves_no_torn_line(tmp_path: Path) -> None:
    """What of the write was taken is taken back, and is not counted."""
    path = tmp_path / "out"

    async def main() -> None:
        async with FileSink(str(path)) as sink:
            await sink.write(b"one\n")
            write, left = sink._raw.write, [3]

            def full(data: Any) -> int:
                if not left[0]:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                count, left[0] = left[0], 0
                return write(data[:count])

            sink._raw.write = full  # type: ignore[method-assign, assignment]
            with pytest.raises(OutputError, match="No space left"):
                await sink.write(b"two\nthree\n")
            assert sink.written_bytes == 4

    asyncio.run(main())
    assert path.read_bytes() == b"one\n"


def test_a_write_that_nobody_waits_for_any_more_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"

    async def main() -> None:
        async with FileSink(str(path)) as sink:
            writing = asyncio.create_task(sink.write(b"x" * 100_000))
            await asyncio.sleep(0)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert sink.written_bytes == 100_000

    asyncio.run(main())
    assert path.stat().st_size == 100_000


def test_a_new_file_has_the_permissions_that_it_should(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        written(FileSink(str(tmp_path / "out")), b"1\n")
        written(FileSink(str(tmp_path / "dead"), append=True, permissions=0o600), b"1\n")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out", "dead")]
    assert modes == [0o644, 0o600]


def test_what_cannot_be_created_says_so(tmp_path: Path) -> None:
    with pytest.raises(CreateError, match="cannot create"):
        written(FileSink(str(tmp_path / "no" / "out")))


def test_a_descriptor_stays_open_and_a_pipe_has_no_place() -> None:
    reading, writing = os.pipe()
    sink = FileSink(writing)
    written(sink, b"1\n")
    assert (os.read(reading, 10), sink.place) == (b"1\n", None)
    os.close(writing)
    os.close(reading)
