"""What has to be known of a record that is not decoded."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

import msgspec

from streamproc.codec.decode import QUICK_BYTES, Unusual, not_utf8
from streamproc.codec.shape import TOO_DEEP, is_too_deep
from streamproc.errors import DecodeError
from streamproc.record import WHITESPACE

_FIRST_KEY = rb'\{[ \t\r\n]*+"'


class _Skipped(msgspec.Struct, gc=False, rename={"error": "_error"}):
    """Any object: its values are checked, and skipped."""

    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_skipped = msgspec.json.Decoder(_Skipped).decode
_checked = msgspec.json.Decoder(msgspec.Raw).decode


def has_members(record: bytes) -> bool:
    """Whether the object `record` has any."""
    return re.match(_FIRST_KEY, record) is not None


class Outline(NamedTuple):
    """A record as bytes, without white space around it; nothing of it was built."""

    line: bytes
    has_error: bool

    added: tuple[str, ...] = ()  # by stages: nothing

    @classmethod
    def of(cls, line: bytes) -> Self:
        """Raises `DecodeError`: `malformed`, `not_an_object` or `too_deep`."""
        line = line.strip(WHITESPACE)
        if len(line) > QUICK_BYTES and is_too_deep(line):
            raise DecodeError("too_deep", TOO_DEEP)
        try:
            line.decode()  # what is skipped is not checked for that
            return cls(line, _has_error(line))
        except UnicodeDecodeError as error:
            raise not_utf8(line, error) from None
        except Unusual as error:
            raise DecodeError("malformed", str(error)) from None


def _has_error(line: bytes) -> bool:
    try:
        return _has(line)
    except msgspec.DecodeError:
        # lone surrogates are JSON, and refused; any other escape is as long
        return _has(line.replace(rb"\ud", rb"\u0").replace(rb"\uD", rb"\u0"))


def _has(line: bytes) -> bool:
    if not line.startswith(b"{"):
        _checked(line)
        raise DecodeError("not_an_object", "expected a JSON object")
    return _skipped(line).error is not msgspec.UNSET
