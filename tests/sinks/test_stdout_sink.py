"""Whatever stdout is, it gets every byte, the loop goes on meanwhile, and its mode stays."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from streamproc.errors import OutputError, ReaderGoneError
from streamproc.sinks.stdout import StdoutSink

LARGE = os.urandom(3_000_000)  # more than any pipe holds


def ends(kind: str) -> tuple[int, int]:
    """A reader and a writer."""
    if kind == "pipe":
        return os.pipe()
    one, other = socket.socketpair()
    return one.detach(), other.detach()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_slow_reader_gets_all_of_it_and_stops_nobody(kind: str, is_blocking: bool) -> None:
    """The loop is free to read here what is written there."""

    async def main() -> None:
        reader, writer = ends(kind)
        os.set_blocking(writer, is_blocking)
        found = bytearray()
        async with StdoutSink(writer) as sink:
            writing = asyncio.create_task(sink.write(LARGE))
            await asyncio.sleep(0)
            assert not writing.done()
            os.set_blocking(reader, False)
            while len(found) < len(LARGE):
                with suppress(BlockingIOError):  # it has to be written first
                    found += os.read(reader, 65536)
                await asyncio.sleep(0)
            await writing
            assert (bytes(found), sink.written_bytes) == (LARGE, len(LARGE))
            assert sink.blocked_s > 0
            assert sink.place is None
        assert os.get_blocking(writer) == is_blocking
        os.close(reader)
        os.close(writer)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_was_taken_before_a_cancellation_is_counted(kind: str) -> None:
    async def main() -> None:
        reader, writer = ends(kind)
        async with StdoutSink(writer) as sink:
            writing = asyncio.create_task(sink.write(LARGE))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait({writing})
            count = sink.written_bytes
        os.close(writer)
        found = bytearray()
        while chunk := os.read(reader, 1 << 20):
            found += chunk
        assert bytes(found) == LARGE[:count]
        os.close(reader)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_reader_that_went_away_is_no_failure_of_the_output(kind: str, when: str) -> None:
    """`head` has seen enough."""

    async def main() -> None:
        reader, writer = ends(kind)
        if when == "before":
            os.close(reader)
        try:
            async with StdoutSink(writer) as sink:
                writing = asyncio.create_task(sink.write(LARGE))
                await asyncio.sleep(0)
                if when == "meanwhile":
                    os.close(reader)
                await writing
        finally:
            os.close(writer)

    with pytest.raises(ReaderGoneError):
        asyncio.run(main())


def test_a_file_is_written_where_the_shell_has_left_off(tmp_path: Path) -> None:
    """`(echo first; streamproc) > FILE`: what stands there stays."""

    async def main(fd: int) -> None:
        async with StdoutSink(fd) as sink:
            await sink.write(b"second\n")
            assert sink.place is not None
            assert (sink.place.offset, sink.written_bytes) == (13, 7)

    with open(tmp_path / "out", "wb", buffering=0) as file:
        file.write(b"first\n")
        asyncio.run(main(file.fileno()))
    assert (tmp_path / "out").read_bytes() == b"first\nsecond\n"


def test_what_is_closed_or_full_is_an_error_of_the_output() -> None:
    async def main(fd: int) -> None:
        async with StdoutSink(fd) as sink:
            await sink.write(b"x")

    with pytest.raises(OutputError, match="stdout"):
        asyncio.run(main(-1))
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OutputError, match="No space"):
        asyncio.run(main(full.fileno()))
