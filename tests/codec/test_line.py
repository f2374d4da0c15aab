"""A chunk and its lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.codec.line import split

# what is no end of a line, though other programs and `splitlines` take it for one
PIECES = [b"", b"a", b"{}", b"\n", b"\n\n", b"\r", b"\r\n", b" ", b"\v", b"\x1c", "\u2028".encode()]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_only_a_newline_ends_a_line(chunk: bytes) -> None:
    assert split(chunk) == chunk.split(b"\n")


@pytest.mark.parametrize("chunk", [b"", b"\n", b"a", b"a\n", b"\na", b"a\r\n\r\nb"])
def test_what_follows_the_last_newline_is_the_last(chunk: bytes) -> None:
    assert split(chunk)[-1] == chunk.rpartition(b"\n")[2]
