"""Dead letters as messages: the original value, key and headers, and why."""

from __future__ import annotations

from base64 import b64decode
from typing import NamedTuple

from streamproc.codec import decode
from streamproc.kafka.message import Headers, Message
from streamproc.shown import short

PREFIX = "streamproc-"
_MOST = 4096  # characters of a message, which may quote all of a record: both have to fit


class Letter(NamedTuple):
    """A message of a dead-letter topic."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]]


def as_letter(line: bytes, origin: Message | None) -> Letter:
    """The message for a line of a dead-letter file; `origin` is the message that failed."""
    fields = decode(line)
    error = fields["_error"]
    where = f"{error.get('file')}/{error.get('line')}"  # the offset is the line of a partition
    headers: list[tuple[str, bytes | None]] = [
        (f"{PREFIX}stage", _readable(error.get("stage"))),
        (f"{PREFIX}kind", _readable(error.get("kind"))),
        (f"{PREFIX}message", _readable(short(str(error.get("message")), _MOST))),
        (f"{PREFIX}origin", _readable(where)),
    ]
    if origin is not None:
        return Letter(origin.value(), origin.key(), [*(origin.headers() or []), *headers])
    if isinstance(fields.get("raw"), str):
        return Letter(fields["raw"].encode("utf-8", "surrogatepass"), None, headers)
    if isinstance(fields.get("raw_base64"), str):
        return Letter(b64decode(fields["raw_base64"]), None, headers)
    return Letter(line, None, headers)


def _readable(text: object) -> bytes:
    """As UTF-8, whatever a record, or the name of a file, has brought into it."""
    return str(text).encode("utf-8", "backslashreplace")


def original_headers(headers: Headers | None) -> list[tuple[str, bytes | None]]:
    """Those that the message had before it became a dead letter."""
    return [(k, v) for k, v in headers or [] if not k.startswith(PREFIX)]
