"""A line as a member of an object: text if it is UTF-8, else base64."""

from __future__ import annotations

from base64 import b64decode, b64encode

from streamproc.errors import DecodeError
from streamproc.types import JsonObject

RAW = ("raw", "raw_base64")


def as_member(raw: bytes) -> dict[str, str]:
    """`raw` under one of those two names."""
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw_base64": b64encode(raw).decode("ascii")}


def from_members(holder: JsonObject) -> bytes | None:
    """The other way; None if there is none. Raises `DecodeError` if it is damaged."""
    try:
        if isinstance(holder.get("raw"), str):
            return str(holder["raw"]).encode()
        if isinstance(holder.get("raw_base64"), str):
            return b64decode(holder["raw_base64"], validate=True)
    except ValueError:
        raise DecodeError("malformed", "the original in it is damaged") from None
    return None
