"""The running checksum of a file is that of its bytes, wherever it is asked for."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.sources.checksums import Checksums

DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def fd(tmp_path_factory: pytest.TempPathFactory) -> int:
    path: Path = tmp_path_factory.mktemp("sums") / "data"
    path.write_bytes(DATA)
    return os.open(path, os.O_RDONLY)


@given(
    begin=st.integers(0, 3000),
    sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=8),
    asked=st.lists(st.floats(0, 1), max_size=5),
)
def test_at_every_place_it_is_that_of_all_bytes_before(
    fd: int, begin: int, sizes: list[int], asked: list[float]
) -> None:
    """Also of those before the place where reading began, and between two chunks."""
    sums, at = Checksums(fd, begin), begin
    for size in sizes:
        sums.add(DATA[at : at + size])
        at = min(at + size, len(DATA))
    for share in sorted(asked):
        offset = begin + int(share * (at - begin))
        mark = sums.mark(offset)
        assert (mark.offset, mark.crc32) == (offset, zlib.crc32(DATA[:offset]))


def test_what_is_known_is_not_read_again(fd: int) -> None:
    """A run that goes on far behind begins at once."""
    assert Checksums(fd, 5000, known=(5000, 42)).mark(5000).crc32 == 42
    assert Checksums(fd, 5001, known=(5000, 42)).mark(5001).crc32 == zlib.crc32(DATA[5000:5001], 42)


def test_a_file_that_is_written_while_it_is_read_has_no_time_of_its_own(tmp_path: Path) -> None:
    """Then only its bytes say whether it is the same."""
    path = tmp_path / "data"
    path.write_bytes(b"1\n")
    with open(path, "rb") as file:
        sums = Checksums(file.fileno(), 0)
        assert sums.mark(0).changed_ns == os.fstat(file.fileno()).st_ctime_ns
        os.utime(path, ns=(1, 1))
        while os.fstat(file.fileno()).st_ctime_ns == sums._changed_ns:
            os.utime(path, ns=(1, 1))
        assert sums.mark(0).changed_ns == 0
