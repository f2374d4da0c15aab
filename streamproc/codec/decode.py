"""Line → record, without loss.

Three paths, fastest first. `verbatim` looks at a whole batch whose records need not
be built. `decode` builds the record with msgspec, which keeps integers exact. What
msgspec refuses gets a second chance from the standard library, which accepts all of
RFC 8259: lone surrogates, numbers of any size.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from streamproc.errors import DecodeError
from streamproc.record import WHITESPACE

MAX_DEPTH = 512
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")
_INT_DIGITS = 4300  # the interpreter's own limit for str ⇄ int, and msgspec's

_decode = msgspec.json.Decoder().decode

# For loops that cannot afford a call per record: what `decode` does first. Records up to
# QUICK_BYTES cannot nest too deep; whatever raises one of Unusual is for `decode` itself.
decode_quickly = msgspec.json.Decoder(dict[str, Any]).decode
QUICK_BYTES = 2 * MAX_DEPTH + 2
Unusual = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Untouched(msgspec.Struct, gc=False, rename={"error": "_error"}):
    """Any object without an `_error`: no value fits that field, so its presence is refused.

    Values of other keys are checked and skipped, at a fourth of the cost of building them.
    """

    error: Literal["\0"] | msgspec.UnsetType = msgspec.UNSET


_untouched = msgspec.json.Decoder(_Untouched).decode


def verbatim(lines: list[bytes]) -> list[bytes] | None:
    """The lines as they go out unchanged, if each is a plain record, else None.

    Plain: a JSON object in UTF-8 without an `_error`, nested no deeper than `MAX_DEPTH`.
    None says that some line wants a closer look, not that it is wrong.
    """
    try:
        for _ in map(_untouched, lines):
            pass
    except (msgspec.MsgspecError, RecursionError):
        return None
    text = b"".join(lines)
    if not text.isascii():
        try:
            text.decode()  # skipped values were not checked for UTF-8
        except UnicodeDecodeError:
            return None
    if max(map(len, lines), default=0) > QUICK_BYTES and any(map(is_too_deep, lines)):
        return None
    return [line.strip(WHITESPACE) for line in lines]


def decode(line: bytes) -> dict[str, Any]:
    """The record in `line`. Integers are exact at any length, other numbers are floats.

    Raises `DecodeError`: `malformed`, `not_an_object` or `too_deep`.
    """
    value = decode_any(line)
    if type(value) is not dict:
        raise DecodeError("not_an_object", f"expected a JSON object, got {_json_type(value)}")
    return value


def decode_any(line: bytes) -> Any:
    """The JSON value in `line`. Raises `DecodeError`: `malformed` or `too_deep`."""
    if len(line) > QUICK_BYTES and is_too_deep(line):
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    try:
        return _decode(line)
    except Unusual:
        return _decode_exact(line)


def _decode_exact(line: bytes) -> Any:
    try:
        # str, never bytes: from bytes json.loads guesses UTF-16 and eats a BOM
        text = line.decode("utf-8")
        return json.loads(text, parse_int=_exact_int, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
        raise DecodeError("malformed", message) from None
    except json.JSONDecodeError as error:
        raise DecodeError(
            "malformed", f"{error.msg.removesuffix(' at')} at column {error.colno}"
        ) from None
    except RecursionError:
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels") from None


def _refuse_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _exact_int(digits: str) -> int:
    """`int(digits)` at any length: halves, because CPython caps one conversion."""
    if len(digits) <= _INT_DIGITS:
        return int(digits)
    if digits[0] == "-":
        return -_exact_int(digits[1:])
    low = len(digits) // 2
    high: int = _exact_int(digits[:-low]) * 10**low
    return high + _exact_int(digits[-low:])


def is_too_deep(line: bytes) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`, at C speed and without recursion."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", line).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")  # takes off the innermost level everywhere
        if len(inner) == len(brackets):
            return False  # unbalanced: the parser says what is wrong
        brackets = inner
    return bool(brackets)


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "a number"
