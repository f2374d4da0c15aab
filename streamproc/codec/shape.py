"""What a line is like, seen before it is parsed: at C speed, in linear time, in little memory.

Whatever is asked here is asked of any bytes, JSON or not; of what is no JSON the answers
mean nothing, and the parser says what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from streamproc.codec.integers import LONG_DIGITS, MOST_DIGITS_IN_ALL

MAX_DEPTH = 512
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_CHUNK_BYTES = 64 * 1024
_BITS = bytes.maketrans(b"[]{}", b"1010")
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b'[]{}"')
_SPACE = b" \t\r\n"
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_INT_DIGITS = 4300
_LONG_RUN = b"0" * LONG_DIGITS
_LONG_DOUBLE = b"0" * 210  # digits: fewer and `e99` are no number beyond all doubles
_DIGITS_AND_E = bytes.maketrans(b"123456789E", b"0" * 9 + b"e")

_SWELLS_BYTES = 96 << 20  # decoded: less does not matter,
_SWELLS_TIMES = 12  # nor does what is not many times as long as the line
_LIST_BYTES, _DICT_BYTES, _STRING_BYTES, _NUMBER_BYTES, _SLOT_BYTES = 88, 208, 64, 24, 8
_ROOM, _PAIR_BYTES = 5, 120  # what a small dict has room for, and what each one more takes

_AT_ONCE = 16


@cache
def _steps() -> tuple[bytes, bytes]:
    """For every sixteen brackets, as bits: how far they climb at most, and sixteen levels
    above where they end.
    """
    tops, ends = bytes(1), bytes([_AT_ONCE])
    for _ in range(_AT_ONCE):  # one bracket more, before the others: in front of them in the bits
        closed = tops.translate(bytes(max(0, top - 1) for top in range(256)))
        opened = tops.translate(bytes(min(top + 1, 255) for top in range(256)))
        tops = closed + opened
        ends = ends.translate(_shifted(-1)) + ends.translate(_shifted(1))
    return tops, ends


def _shifted(by: int) -> bytes:
    return bytes((n + by) % 256 for n in range(256))


def is_too_deep(line: bytes) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return False
    tops, ends = _steps()
    level = 0
    rest = b""
    for piece in _outside_strings(line, _BITS, _NOT_BRACKETS):
        brackets = rest + piece
        end = len(brackets) - len(brackets) % _AT_ONCE
        brackets, rest = brackets[:end], brackets[end:]
        opened = brackets.count(b"1")
        if level + opened <= MAX_DEPTH:
            level += 2 * opened - end
            continue
        packed = int(brackets, 2).to_bytes(end // 8, "big")
        for sixteen in struct.unpack(f">{end // _AT_ONCE}H", packed):
            if level + tops[sixteen] > MAX_DEPTH:
                return True
            level += ends[sixteen] - _AT_ONCE
    return level + rest.count(b"1") > MAX_DEPTH and level + _top(rest) > MAX_DEPTH


def _top(brackets: bytes) -> int:
    """How far up to sixteen of them climb."""
    return _steps()[0][int(brackets.ljust(_AT_ONCE, b"0"), 2)]


def may_overflow(line: bytes) -> bool:
    """Whether a number in it may be beyond all doubles."""
    line = line.translate(_DIGITS_AND_E)  # to find a text in it takes half as long as any pattern
    if line.find(b"e000") >= 0 or line.find(b"e+000") >= 0:
        return True
    return len(line) >= len(_LONG_DOUBLE) and line.find(_LONG_DOUBLE) >= 0


def has_many_digits(line: bytes) -> bool:
    """Whether there may be more digits in long integers than a record may have."""
    if len(line) <= MOST_DIGITS_IN_ALL:
        return False
    runs = line.translate(_DIGITS).count(_LONG_RUN)
    return runs * LONG_DIGITS * 2 > MOST_DIGITS_IN_ALL  # what is left of each is less than that


def has_long_integer(line: bytes) -> bool:
    """Whether there may be an integer of over 4300 digits: CPython refuses it as text."""
    return len(line) > _INT_DIGITS and line.translate(_DIGITS).find(b"0" * _INT_DIGITS) >= 0


def decoded_bytes(line: bytes) -> int | None:
    """What the objects made of `line` take, about; None if that is no reason to worry.

    `[{},{},{}]` takes thirty times its length.
    """
    if len(line) * (_DICT_BYTES + _NUMBER_BYTES + _SLOT_BYTES) // 8 <= _SWELLS_BYTES:
        return None
    size = objects_bytes(line)
    return size if size > max(_SWELLS_BYTES, _SWELLS_TIMES * len(line)) else None


def objects_bytes(line: bytes) -> int:
    """What the objects made of `line` take, about."""
    strings = line.count(b'"') // 2
    lists = dicts = pairs = commas = others = 0
    for piece in _outside_strings(line, None, _SPACE):
        lists += piece.count(b"[")
        dicts += piece.count(b"{") - piece.count(b"{}") // 2  # an empty one takes less
        pairs += piece.count(b":")
        commas += piece.count(b",")
        others += len(piece)
    values = commas + lists + dicts
    # one digit is an object that exists already
    numbers = min(values, max(0, others - 2 * (lists + dicts) - pairs - commas - values))
    size = len(line) + lists * _LIST_BYTES + dicts * _DICT_BYTES + values * _SLOT_BYTES
    size += max(0, pairs - _ROOM * dicts) * _PAIR_BYTES + numbers * _NUMBER_BYTES
    return size + max(0, strings - pairs) * _STRING_BYTES  # keys are made once for many


def _outside_strings(line: bytes, table: bytes | None, without: bytes) -> Iterator[bytes]:
    """What stands outside of strings, piece by piece, as `bytes.translate` makes it."""
    if b"\\" in line:  # pairs from left to right: what is left is what escapes a quote
        line = line.replace(b"\\\\", b"").replace(b'\\"', b"")
    is_inside = False
    for at in range(0, len(line), _CHUNK_BYTES):
        parts = line[at : at + _CHUNK_BYTES].translate(table, without).split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= len(parts) % 2 == 0
