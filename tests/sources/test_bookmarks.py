"""A run goes on at the line where it was, of inputs that are still the same ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.fingerprint import Bookmark
from streamproc.sources.file import LineSource
from streamproc.testing.contracts.common import data_of

LINES = [b"%d" % n * (n % 7 + 1) for n in range(40)]


def read(source: LineSource, count: int | None = None) -> tuple[list[bytes], Bookmark]:
    """The first so many lines (None: all), and the position behind them."""

    async def main() -> tuple[list[bytes], Bookmark]:
        async with source:
            return await _read(source, count)

    return asyncio.run(main())


def go_on(source: LineSource, bookmark: Bookmark) -> list[bytes] | str:
    """The lines behind a position, or why it does not fit."""

    async def main() -> list[bytes] | str:
        async with source:
            if (problem := await source.fits(bookmark)) is not None:
                return problem.why
            await source.rewind(bookmark)
            await source.rewind(bookmark)  # twice is once
            return (await _read(source, None))[0]

    return asyncio.run(main())


async def _read(source: LineSource, count: int | None) -> tuple[list[bytes], Bookmark]:
    lines: list[bytes] = []
    while (received := await source.receive()) is not None:
        batch, _ = received
        if count is not None and len(lines) + len(batch) >= count:
            head, rest = batch.cut(count - len(lines))
            cursor = head.cursor._replace(
                line=head.cursor.line + len(head), offset=head.cursor.offset + head.n_bytes
            )
            return lines + head.lines, await source.position(rest.cursor if rest else cursor)
        lines += batch.lines
    return lines, await source.position(None)


def files(folder: Path, *texts: bytes) -> list[str]:
    paths = [folder / f"{number}.jsonl" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    return [str(path) for path in paths]


def of(paths: Sequence[str], **settings: int) -> LineSource:
    return LineSource(paths, resumable=True, **settings)


@pytest.mark.parametrize("count", [1, 12, 13, 14, 27, 39])
def test_the_lines_behind_a_position_follow_those_before_it(tmp_path: Path, count: int) -> None:
    """Over several files, each of which may end there."""
    paths = files(tmp_path, data_of(LINES[:13]), data_of(LINES[13:27]), data_of(LINES[27:]))
    before, bookmark = read(of(paths), count)
    assert before == LINES[:count]
    assert go_on(of(paths), bookmark) == LINES[count:]


def piped(data: bytes) -> int:
    """A pipe with this in it, that has ended."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


@given(count=st.integers(1, len(LINES)))
def test_a_pipe_that_begins_as_it_did_is_gone_on_with(count: int) -> None:
    first, second = piped(data_of(LINES)), piped(data_of(LINES))
    before, bookmark = read(of(["-"], stdin_fd=first), count)
    assert before == LINES[:count]
    assert go_on(of(["-"], stdin_fd=second), bookmark) == LINES[count:]
    os.close(first)
    os.close(second)


@pytest.mark.parametrize(("now", "why"), [
    (b"1\n2\n", "4 bytes, 6 are needed"),
    (b"1\n9\n3\n4\n", "the first 4096 of its first 6 bytes are not the same"),
    (b"1\n2\n3\n4\n5\n", [b"4", b"5"]),
])  # fmt: skip
def test_a_file_may_grow_and_nothing_else(
    tmp_path: Path, now: bytes, why: str | list[bytes]
) -> None:
    paths = files(tmp_path, b"1\n2\n3\n4\n")
    _, bookmark = read(of(paths), 3)
    Path(paths[0]).write_bytes(now)
    found = go_on(of(paths), bookmark)
    assert found == why if isinstance(why, list) else why in found


def test_a_change_in_the_middle_of_a_large_file_is_seen(tmp_path: Path) -> None:
    """What the first and the last 4 KiB do not show, the checksum does."""
    (path,) = files(tmp_path, b"x" * 99 + b"\n" + b"1234567\n" * 10_000)
    _, bookmark = read(of([path]), 9000)
    with open(path, "r+b") as file:
        file.seek(40_000)
        file.write(b"9")
    assert "bytes are not the same" in go_on(of([path]), bookmark)


def test_inputs_before_the_one_that_was_read_may_not_grow(tmp_path: Path) -> None:
    paths = files(tmp_path, b"1\n", b"2\n3\n")
    _, bookmark = read(of(paths), 2)
    with open(paths[0], "ab") as file:
        file.write(b"more\n")
    assert "only the last input may grow" in go_on(of(paths), bookmark)
    assert "it is in input 2, only 1 given" in go_on(of(paths[:1]), bookmark)


@pytest.mark.parametrize(("more", "found"), [
    (b"", []), (b"\n", []), (b"\n3\n", [b"3"]), (b"2\n", "now it has grown")
])  # fmt: skip
def test_a_last_line_without_newline_may_get_one(
    tmp_path: Path, more: bytes, found: str | list[bytes]
) -> None:
    (path,) = files(tmp_path, b"1\n2")
    before, bookmark = read(of([path]))
    assert (before, bookmark.is_unended) == ([b"1", b"2"], True)
    with open(path, "ab") as file:
        file.write(more)
    rest = go_on(of([path]), bookmark)
    assert rest == found if isinstance(found, list) else found in rest


@pytest.mark.parametrize(("again", "why"), [
    (b"1\n", "ended after 2 bytes, the checkpoint stands at 4"),
    (b"1\n9\n3\n", "its first 4 bytes are not the same"),
])  # fmt: skip
def test_another_pipe_is_not_gone_on_with(again: bytes, why: str) -> None:
    first, second = piped(b"1\n2\n"), piped(again)
    _, bookmark = read(of(["-"], stdin_fd=first))
    assert why in go_on(of(["-"], stdin_fd=second), bookmark)
    os.close(first)
    os.close(second)


def test_a_pipe_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    _, bookmark = read(of(files(tmp_path, b"1\n2\n")), 1)
    reader = piped(b"1\n2\n")
    found = go_on(of(["-"], stdin_fd=reader), bookmark)
    assert "was a file when the checkpoint was written" in found
    os.close(reader)
