"""What JSON takes in memory once it is decoded."""

from __future__ import annotations

_DICT_BYTES = 232  # with up to five members, and 64 without any; more have grown by then
_LIST_BYTES = 88
_MEMBER_BYTES = 100  # a value that is a string or a float, and its place


def decoded_bytes(data: bytes) -> int:
    """About as much as `data` takes once it is decoded; rather more. Takes a fraction of that time.

    Text that is not ASCII takes up to four bytes for a character.
    """
    text = len(data) if data.isascii() else 2 * len(data)
    return (
        text
        + data.count(b"{") * _DICT_BYTES
        + data.count(b"[") * _LIST_BYTES
        + data.count(b",") * _MEMBER_BYTES
    )
