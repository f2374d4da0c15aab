"""Chunks → lines: however the bytes are cut on their way, the lines are the same."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.record import Batch, Failed
from streamproc.sources.lines import LineCutter

BOM = b"\xef\xbb\xbf"
LIMIT = 4


class Line(NamedTuple):
    """A line as it should be found: `too_long` holds its length and hash."""

    number: int
    offset: int
    text: bytes
    too_long: tuple[int, str] | None = None


def expected(data: bytes, limit: int) -> list[Line]:
    """The same said simply, about input that is there all at once."""
    offset = len(BOM) if data.startswith(BOM) else 0
    pieces = data[offset:].split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    out = []
    for number, text in enumerate(pieces, 1):
        long = (len(text), hashlib.sha256(text).hexdigest()) if len(text) > limit else None
        out.append(Line(number, offset, b"" if long else text, long))
        offset += len(text) + 1
    return out


def found(batches: list[tuple[Batch, Failed | None]]) -> list[Line]:
    out = []
    for batch, failed in batches:
        file, number, offset, _ = batch.cursor
        assert (file, batch.lane) == ("in.jsonl", 3)
        assert len(batch) == 1 or failed is None
        for line in batch.lines:
            long = None
            if failed is not None:
                assert (failed.stage, failed.kind, failed.details["offset"]) == (
                    "decode", "too_long", offset,
                )  # fmt: skip
                long = (failed.details["length_bytes"], failed.details["sha256"])
                assert str(long[0]) in failed.message
            out.append(Line(number, offset, line, long))
            number += 1
            offset += (long[0] if long else len(line)) + 1
    return out


def cut(chunks: list[bytes], limit: int) -> list[tuple[Batch, Failed | None]]:
    cutter = LineCutter("in.jsonl", limit, lane=3)
    batches = [each for chunk in chunks for each in cutter.feed(chunk)]
    return batches + cutter.finish()


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    places = range(1, len(data))
    for count in range(len(data)):
        for at in combinations(places, count):
            bounds = [0, *at, len(data)]
            yield [data[a:b] for a, b in pairwise(bounds)]


INPUTS = [
    b"", b"\n", b"\n\n\n", b"a", b"a\n", b"a\nb", b"a\r\nb\r\n", b"\ra\rb\r\n\r", b" \n\t\na",
    b"ab\x85c\nd\n", "a\u2028\nb\u2028".encode(), b"a\x0bb\x0c\x1c\nc",
    BOM, BOM + b"\n", BOM + b"a\nb\n", BOM + b"\na", BOM + BOM + b"a\n", b"a\n" + BOM + b"b\n",
    BOM[:2], BOM[:2] + b"\na", BOM[:1] + b"\n" + BOM[1:], b"\n" + BOM,
    b"abcd", b"abcd\n", b"abcde", b"abcde\n", b"abcd\nabcd\n", b"abcdefgh\nabcd",
    b"abcde\nab\nc\n", b"a\nabcde\nb\n", b"a\nb\nabcde", b"abcde\nabcdef", b"abcdefghij\n",
    b"\nabcde\n\n", b"abc\r\nabcd\r\n", BOM + b"abcd\nabcde", BOM + b"abcdef\na",
]  # fmt: skip


@pytest.mark.parametrize("data", INPUTS, ids=repr)
@pytest.mark.parametrize("limit", [LIMIT, 1 << 20])
def test_every_chunking_gives_the_same_lines(data: bytes, limit: int) -> None:
    """Lines, numbers, offsets and what is too long do not depend on how the bytes arrive."""
    wanted = expected(data, limit)
    for chunks in chunkings(data):
        batches = cut(chunks, limit)
        assert found(batches) == wanted, chunks
        begins = len(BOM) if data.startswith(BOM) else 0
        assert sum(batch.n_bytes for batch, _ in batches) == len(data) - begins, chunks


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc", b"defgh", BOM, b"\xe2\x80\xa8"])),
    bounds=st.lists(st.integers(0, 60)),
    limit=st.integers(len(BOM), 12),
)
def test_longer_inputs(data: list[bytes], bounds: list[int], limit: int) -> None:
    """The same for inputs that are too long for every chunking, empty chunks included."""
    text = b"".join(data)
    places = [0, *sorted(min(b, len(text)) for b in bounds), len(text)]
    chunks = [text[a:b] for a, b in pairwise(places)]
    assert found(cut(chunks, limit)) == expected(text, limit)


def test_only_a_newline_ends_a_line() -> None:
    """CR, NEL, U+2028, form feed: text, not ends."""
    text = b"a\rb\x85c\x0bd\x0ce\x1cf" + "\u2028\u2029\u0085".encode()
    assert [line.text for line in found(cut([text + b"\n", b"x"], 99))] == [text, b"x"]


def test_a_chunk_is_a_batch() -> None:
    """Lines that come together stay together: queues and clocks are paid per batch."""
    cutter = LineCutter("in.jsonl", 99, lane=3)
    [(batch, _)] = cutter.feed(b"a\nb\nc\nd")
    assert batch.lines == [b"a", b"b", b"c"]
    assert cutter.feed(b"e") == []
    [(batch, _)] = cutter.feed(b"\nf\n")
    assert (batch.lines, batch.cursor.line, batch.cursor.offset) == ([b"de", b"f"], 4, 6)
    assert cutter.finish() == []


def test_lines_beside_a_too_long_one_stay_whole() -> None:
    """A too-long line is a batch of its own; its neighbours are found on both sides."""
    batches = cut([b"a\nb\n" + b"x" * 9 + b"\nc\nd\n" + b"y" * 5 + b"\n" + b"z" * 6], LIMIT)
    assert [(batch.lines, failed is not None) for batch, failed in batches] == [
        ([b"a", b"b"], False), ([b""], True), ([b"c", b"d"], False), ([b""], True), ([b""], True),
    ]  # fmt: skip


def test_details_of_a_too_long_line() -> None:
    """Length, hash and offset are those of the line, without its newline."""
    text = bytes(range(11, 256)) * 50
    [_, (batch, failed)] = cut([b"ok\n", text[:7000], text[7000:] + b"\n"], 100)
    assert failed is not None
    assert failed.details == {
        "length_bytes": len(text), "sha256": hashlib.sha256(text).hexdigest(), "offset": 3,
    }  # fmt: skip
    assert failed.message == f"line of {len(text)} bytes, the limit is 100"
    assert (batch.cursor.line, batch.n_bytes) == (2, len(text) + 1)


def test_an_endless_line_needs_bounded_memory() -> None:
    """However long a line gets, not more than the limit and a chunk of it is kept."""
    chunk = b"x" * 65_536
    cutter = LineCutter("in.jsonl", 100_000)
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert cutter.feed(chunk) == []
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000
    [(_, failed)] = cutter.feed(b"\n")
    assert failed is not None
    assert failed.details["length_bytes"] == 65_536_000
    [(batch, failed)] = cutter.feed(b"next\n")
    assert (batch.lines, batch.cursor.line, failed) == ([b"next"], 2, None)
    assert batch.cursor.offset == 65_536_001


def test_residue_is_what_has_no_newline_yet() -> None:
    """When reading stops before the end, bytes after the last newline are no record."""
    cutter = LineCutter("in.jsonl", 99)
    assert cutter.residue() is None
    cutter.feed(b"a\nbc")
    residue = cutter.residue()
    assert residue is not None
    batch, failed = residue
    assert (batch.lines, batch.cursor.line, batch.cursor.offset) == ([b"bc"], 2, 2)
    assert failed.kind == "shutdown"
    cutter.feed(b"\n")
    assert cutter.residue() is None
