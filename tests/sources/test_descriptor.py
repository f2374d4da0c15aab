"""Whatever a descriptor is, its bytes come as they are there, and its mode stays as it was."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from streamproc.sources.stdin import CHUNK_BYTES, Descriptor


async def all_of(reader: Descriptor) -> bytes:
    found = []
    while chunk := await reader.read():
        found.append(chunk)
    return b"".join(found)


def test_a_file_comes_in_chunks_that_another_one_hears_of(tmp_path: Path) -> None:
    data, heard = os.urandom(CHUNK_BYTES * 2 + 17), list[bytes]()
    (tmp_path / "data").write_bytes(data)
    with open(tmp_path / "data", "rb") as file:
        assert asyncio.run(all_of(Descriptor(file.fileno(), heard.append))) == data
    assert [len(chunk) for chunk in heard] == [CHUNK_BYTES, CHUNK_BYTES, 17]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("is_blocking", [False, True])
def test_what_somebody_writes_is_read_when_it_comes(kind: str, is_blocking: bool) -> None:
    async def main() -> None:
        ends = os.pipe() if kind == "pipe" else [each.detach() for each in socket.socketpair()]
        reader, writer = ends
        os.set_blocking(reader, is_blocking)
        found = Descriptor(reader)
        for text in (b"one", b"two"):
            reading = asyncio.create_task(found.read())
            await asyncio.sleep(0)
            assert not reading.done()
            os.write(writer, text)
            assert await reading == text
        os.close(writer)
        assert await found.read() == b""
        assert os.get_blocking(reader) == is_blocking
        os.close(reader)

    asyncio.run(main())


def test_a_read_that_is_cancelled_has_taken_nothing() -> None:
    async def main() -> None:
        reader, writer = os.pipe()
        found = Descriptor(reader)
        reading = asyncio.create_task(found.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
        os.write(writer, b"one")
        await asyncio.sleep(0)
        assert await found.read() == b"one"
        os.close(reader)
        os.close(writer)

    asyncio.run(main())


def test_what_cannot_be_waited_for_is_at_its_end_at_once() -> None:
    with open(os.devnull, "rb") as null:
        assert asyncio.run(all_of(Descriptor(null.fileno()))) == b""
