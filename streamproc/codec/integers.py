"""Integers of any length that is allowed, between text and `int`, in nearly linear time.

CPython converts in quadratic time, and refuses more than 4300 digits at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

from streamproc.errors import RecordError

MOST_DIGITS = 50_000  # of one integer
MOST_DIGITS_IN_ALL = 200_000  # of those integers of a record that are long
LONG_DIGITS = 512  # shorter ones cost less than the objects that they become

_PIECE_DIGITS = 1024
_PIECE_BITS = 2048
_STR_BITS = 14_000  # below CPython's limit of 4300 digits
_MOST_BITS = 166_097  # of integers with MOST_DIGITS, and of a few with one more


def integer(digits: str) -> int:
    """`int(digits)`, made of pieces of which neighbours are joined again and again."""
    if digits[0] == "-":
        return -integer(digits[1:])
    if len(digits) <= _PIECE_DIGITS:
        return int(digits)
    first = len(digits) % _PIECE_DIGITS or _PIECE_DIGITS
    cuts = [0, *range(first, len(digits) + 1, _PIECE_DIGITS)]
    pieces = [int(digits[a:b]) for a, b in pairwise(cuts)]
    base = 10**_PIECE_DIGITS
    while True:
        if len(pieces) % 2:
            pieces.insert(0, 0)
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        pieces = [high * base + low for high, low in pairs]
        if len(pieces) == 1:
            return pieces[0]
        base *= base


def digits(number: int) -> str:
    """`str(number)`. Raises `RecordError` (`bad_number`) beyond `MOST_DIGITS`."""
    if number.bit_length() <= _STR_BITS:
        return str(int(number))  # a subclass may write itself otherwise
    text = ""
    if number.bit_length() <= _MOST_BITS:
        import decimal  # multiplies faster than `int`, and writes decimal digits as they are

        with decimal.localcontext() as context:
            context.prec, context.Emax = decimal.MAX_PREC, decimal.MAX_EMAX
            context.traps[decimal.Inexact] = True
            text = f"{_decimal(int(number), number.bit_length(), {}, decimal.Decimal):f}"
    if not text or len(text.lstrip("-")) > MOST_DIGITS:
        raise RecordError("bad_number", f"an integer of more than {MOST_DIGITS:,} digits")
    return text


def _decimal(number: int, bits: int, powers: dict[int, Decimal], kind: type[Decimal]) -> Decimal:
    if bits <= _PIECE_BITS:
        return kind(number)
    low = bits // 2
    if low not in powers:
        powers[low] = kind(2) ** low
    high = number >> low
    return _decimal(number - (high << low), low, powers, kind) + powers[low] * _decimal(
        high, bits - low, powers, kind
    )
