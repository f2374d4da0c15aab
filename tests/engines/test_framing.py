"""What a parent and its workers say to each other comes whole, however the socket cuts it."""

from __future__ import annotations

import random

import pytest

from streamproc.engines.framing import (
    FrameProtocol,
    Kind,
    WorkBatch,
    pack_run,
    pack_scattered,
    pack_work,
    unpack_run,
    unpack_scattered,
    unpack_work,
)
from streamproc.record import FAILED, Batch, Cursor, Note

CURSOR = Cursor("in\udcff.jsonl", 5, 100, 2)  # a name that is no UTF-8
LINES = [b'{"n":1}', b"", b'{"n":"\xc3\xa9"}', b"x" * 3000]


class Wire:
    """Stands for a transport: what one end sends is fed to the other in pieces."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.sent += b"".join(parts)

    def set_write_buffer_limits(self, high: int) -> None:
        """It has none."""


def protocol(heard: list[tuple[Kind, bytes]]) -> FrameProtocol:
    return FrameProtocol(lambda kind, body: heard.append((kind, bytes(body))), lambda: None)


def feed(end: FrameProtocol, data: bytes) -> None:
    while data:
        view = end.get_buffer(-1)
        count = min(len(view), len(data))
        assert count, "no room for the next byte"
        view[:count] = data[:count]
        end.buffer_updated(count)
        data = data[count:]


@pytest.mark.parametrize("seed", range(10))
def test_frames_arrive_however_they_are_cut(seed: int) -> None:
    """Empty ones, and some that are larger than the buffer, which is small again after them."""
    dice = random.Random(seed)
    frames = [
        (dice.choice(list(Kind)), dice.randbytes(dice.choice([0, 1, 300, 70_000, 900_000])))
        for _ in range(20)
    ]
    wire, heard = Wire(), list[tuple[Kind, bytes]]()
    sender, receiver = protocol([]), protocol(heard)
    sender.connection_made(wire)  # type: ignore[arg-type]
    for kind, body in frames:
        sender.send(kind, body[: len(body) // 2], body[len(body) // 2 :])
    at = 0
    while at < len(wire.sent):
        stop = at + dice.choice([1, 3, 5, 100, 100_000, 2_000_000])
        feed(receiver, bytes(wire.sent[at:stop]))
        at = stop
    assert heard == frames
    assert receiver.received_bytes == len(wire.sent)


def test_who_is_gone_is_sent_nothing() -> None:
    lost = []
    end = FrameProtocol(lambda kind, body: None, lambda: lost.append(True))
    end.connection_made(Wire())  # type: ignore[arg-type]
    end.connection_lost(None)
    end.send(Kind.END)
    assert lost == [True]


@pytest.mark.parametrize("is_message", [False, True])
def test_work_arrives_as_it_is(is_message: bool) -> None:
    """Messages may have newlines in them; lines of files have none."""
    lines = [*LINES, b"two\nlines"] if is_message else LINES
    batch = Batch(0, CURSOR, lines, 9)
    batch.messages = [None] * len(lines) if is_message else None
    body = b"".join(pack_work(1 << 60, batch, 1, len(lines)))
    made = unpack_work(memoryview(body))
    assert (made.number, made.lines, made.is_plain) == (1 << 60, lines[1:], not is_message)
    assert made.cursor == CURSOR._replace(line=6)


@pytest.mark.parametrize("notes", [{}, {1: Note(FAILED, b"no"), 3: Note(FAILED, b"a\nb", 2)}])
@pytest.mark.parametrize("is_plain", [True, False])
def test_what_became_of_work_arrives_as_it_is(notes: dict[int, Note], is_plain: bool) -> None:
    """A line with a note is in its note, and may be several."""
    piece = WorkBatch(7, CURSOR, LINES)
    piece.is_plain = is_plain
    lines = [b"a", b"b", b"c" if is_plain else b"c\nd", b"e"]
    out = [notes[i].line if i in notes else line for i, line in enumerate(lines)]
    body = b"".join(pack_run(piece, 0, list(lines), notes))
    assert unpack_run(memoryview(body)) == (7, 0, 4, out, notes)
    body = b"".join(pack_scattered(piece, [9, 2, 5, 0], list(lines), notes))
    number, indices, got, told = unpack_scattered(memoryview(body))
    assert (number, list(indices), got, told) == (7, [9, 2, 5, 0], out, notes)


def test_lines_that_go_out_as_they_came_in_are_not_sent_back() -> None:
    piece = WorkBatch(7, CURSOR, LINES)
    body = b"".join(pack_run(piece, 1, LINES[1:3], {}))
    assert len(body) < 30
    assert unpack_run(memoryview(body)) == (7, 1, 2, None, {})
