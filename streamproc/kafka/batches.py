"""Messages → batches of lines."""

from __future__ import annotations

from streamproc.codec.document import Document
from streamproc.errors import RecordError
from streamproc.kafka.message import Message
from streamproc.record import Batch, Cursor, Failed

_SCHEMA_REGISTRY = (
    "the value is in the Schema Registry's format (it begins with a zero byte and a schema id): "
    "decode it to JSON first"
)


def batches(
    lane: int, messages: list[Message], lines: list[bytes], *, one_line: bool, meta: bool
) -> list[tuple[Batch, Failed | None]]:
    """Messages of one partition without a gap between them, as the source's `receive` gives them.

    `one_line`: newlines become spaces. `meta`: each record gets a `_meta`.
    """
    if one_line and any(map(_has_newline, lines)):
        lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
    if meta:
        lines = [_with_meta(*each) for each in zip(lines, messages, strict=True)]
    first = messages[0]
    offset = first.offset()
    cursor = Cursor(f"{first.topic()}/{first.partition()}", offset, offset)
    whole = Batch(lane, cursor, lines, sum(map(len, lines)) + len(lines))
    whole.messages = messages
    return _without_foreign(whole)


def _has_newline(line: bytes) -> bool:
    return b"\n" in line or b"\r" in line


def _without_foreign(batch: Batch) -> list[tuple[Batch, Failed | None]]:
    """Values that are not JSON but of the Schema Registry fail with a reason."""
    out: list[tuple[Batch, Failed | None]] = []
    rest: Batch | None = batch
    for at in [i for i, line in enumerate(batch.lines) if line[:1] == b"\0" and len(line) > 4]:
        assert rest is not None
        before = at - (len(batch) - len(rest))
        if before:
            head, rest = rest.cut(before)
            out.append((head, None))
            assert rest is not None
        foreign, rest = rest.cut(1)
        out.append((foreign, Failed("decode", "malformed", _SCHEMA_REGISTRY, 0)))
    if rest is not None:
        out.append((rest, None))
    return out


def _with_meta(line: bytes, message: Message) -> bytes:
    """The line with the member `_meta`; one that is no object stays as it is."""
    try:
        document = Document(line)
    except RecordError:
        return line
    kind, timestamp = message.timestamp()
    headers = [[k, _text(v)] for k, v in message.headers() or []]
    meta = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp if kind else None,
        "key": _text(message.key()),
        "headers": headers,
    }
    document.put(("_meta",), meta)  # one from an earlier topic is replaced
    return document.line


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
