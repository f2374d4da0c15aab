"""Batches that are cut where the window is full."""

from __future__ import annotations

import pytest

from streamproc.record import Batch, Cursor


@pytest.mark.parametrize(("messages", "offset"), [(None, 106), (["a", "b", "c"], 102)])
def test_a_rest_knows_where_it_begins(messages: list[str] | None, offset: int) -> None:
    """Bytes in a file, messages in a topic: from there a later run goes on."""
    batch = Batch(0, Cursor("in", 7, 100), [b"one", b"2", b"three"], 12)
    batch.messages = messages
    head, rest = batch.cut(2)
    assert rest is not None
    assert (head.lines, rest.lines) == ([b"one", b"2"], [b"three"])
    assert rest.cursor == Cursor("in", 9, offset)
    assert rest.messages == (messages and messages[2:])
