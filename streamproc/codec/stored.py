"""Value objects ⇄ JSON bytes, for files of our own that are read back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from streamproc.codec.decode import Unusual
from streamproc.errors import DecodeError

T = TypeVar("T")


def store(value: object) -> bytes:
    """One line of JSON, without newline."""
    return msgspec.json.encode(value)


def restore(kind: type[T], line: bytes) -> T:
    """What `store` made. Raises `DecodeError` if it is none, or damaged."""
    try:
        return msgspec.json.decode(line, type=kind)
    except Unusual as error:
        raise DecodeError("malformed", str(error)) from None


def retyped(kind: type[T], value: object) -> T:
    """A value of `kind` that was stored inside of another one. Raises `DecodeError`.

    It knows nothing that `kind` does not: else it is of another one, whose fields have defaults.
    """
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError("malformed", str(error)) from None
    if isinstance(value, dict) and (others := value.keys() - msgspec.to_builtins(found).keys()):
        raise DecodeError("malformed", f"unknown: {', '.join(sorted(others))}")
    return found
