"""What Python code has for a record → its line."""

from __future__ import annotations

from streamproc.codec.encode import encode


def line_of(record: object) -> bytes:
    """The line of a record that is a dict, or a line already (str or bytes). Raises TypeError."""
    if not isinstance(record, str | bytes):
        return encode(record)
    line = record.encode() if isinstance(record, str) else record
    # white space to JSON as well, and as wrong inside a string, but it ends no line
    return line.rstrip(b"\n").replace(b"\n", b"\r")
