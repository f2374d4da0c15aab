"""Line → record, without loss.

Three paths, fastest first. `verbatim` looks at a whole batch whose records need not
be built. `decode` builds the record with msgspec, which keeps integers exact. What
msgspec refuses gets a second chance from the standard library, which accepts all of
RFC 8259: lone surrogates, numbers of any size.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, Literal

import msgspec

from streamproc.codec import shape
from streamproc.codec.integers import LONG_DIGITS, MOST_DIGITS, MOST_DIGITS_IN_ALL, integer
from streamproc.codec.shape import MAX_DEPTH, TOO_DEEP, is_too_deep
from streamproc.errors import DecodeError, UnreadableError
from streamproc.record import WHITESPACE
from streamproc.types import JsonValue, Record

_decode = msgspec.json.Decoder().decode

# For loops that cannot afford a call per record: what `decode` does first. Records up to
# QUICK_BYTES cannot nest too deep; whatever raises one of Unusual is for `decode` itself.
decode_quickly = msgspec.json.Decoder(dict[str, Any]).decode
QUICK_BYTES = 2 * MAX_DEPTH + 1
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


def decode(line: bytes) -> Record:
    """The record in `line`. Integers are exact, other numbers are floats.

    Raises `DecodeError`: `malformed`, `not_an_object` or `too_deep`; and `UnreadableError`.
    """
    value = decode_any(line)
    if type(value) is not dict:
        raise DecodeError("not_an_object", f"expected a JSON object, got {_json_type(value)}")
    return value


def decode_any(line: bytes) -> JsonValue:
    """The JSON value in `line`. Raises `DecodeError`: `malformed` or `too_deep`.

    `UnreadableError`: it is JSON, and its objects would take too much time (`bad_number`)
    or memory (`too_long`).
    """
    if len(line) > QUICK_BYTES:
        if is_too_deep(line):
            raise DecodeError("too_deep", TOO_DEEP)
        if (size := shape.decoded_bytes(line)) is not None:
            takes = f"takes about {size >> 20} MiB of memory, {size // len(line)} times its length"
            raise UnreadableError("too_long", f"decoded it {takes}: no stage is given that")
        if shape.has_many_digits(line):
            return _decode_exact(line)
    try:
        return _decode(line)
    except Unusual:
        return _decode_exact(line)


def decode_finite(line: bytes) -> JsonValue:
    """As `decode_any`, for what is written again: raises also for numbers beyond a double.

    As they stand they are JSON, but decoded they are infinite, and no JSON any more.
    """
    value = decode_any(line)
    if shape.may_overflow(line) and is_infinite_in(value):
        raise DecodeError("bad_number", "a number is greater than a double can be (1.8e308)")
    return value


def is_infinite_in(value: object) -> bool:
    """Whether a number is in it that is greater than a double can be."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, float) and isinf(each):
            return True
        if isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list):
            left += each
    return False


def _decode_exact(line: bytes) -> JsonValue:
    counts = shape.has_long_integer(line) or shape.has_many_digits(line)
    integers = _Integers() if counts else None
    parse_int = integers.__getitem__ if integers is not None else None
    try:
        # str, never bytes: from bytes json.loads guesses UTF-16 and eats a BOM
        text = line.decode("utf-8")
        value = json.loads(text, parse_int=parse_int, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise not_utf8(line, error) from None
    except json.JSONDecodeError as error:
        raise DecodeError(
            "malformed", f"{error.msg.removesuffix(' at')} at column {error.colno}"
        ) from None
    except RecursionError:
        raise DecodeError("too_deep", TOO_DEEP) from None
    if integers is not None and integers.refused is not None:
        raise UnreadableError("bad_number", integers.refused)
    return value


class _Integers(dict[str, int]):
    """Makes integers as long as they are not too long; then `refused` says so."""

    def __init__(self) -> None:
        # looked up in C: a call for each of many small ones takes most of the time
        super().__init__((str(n), n) for n in range(-99, 1000))
        self.refused: str | None = None
        self._in_all = 0

    def __missing__(self, digits: str) -> int:
        count = len(digits) - digits.startswith("-")
        if count <= LONG_DIGITS:
            return int(digits)
        self._in_all += count
        if count > MOST_DIGITS:
            self.refused = f"an integer of {count:,} digits, the limit is {MOST_DIGITS:,}"
        elif self._in_all > MOST_DIGITS_IN_ALL:
            self.refused = f"integers of more than {MOST_DIGITS_IN_ALL:,} digits in all"
        return 0 if self.refused else integer(digits)


def not_utf8(line: bytes, error: UnicodeDecodeError) -> DecodeError:
    """What is to be said of `line`, which is no UTF-8."""
    message = f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
    return DecodeError("malformed", message)


def _refuse_constant(name: str) -> JsonValue:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _json_type(value: object) -> str:
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
