"""What a stage adds to records, written where their closing brace was."""

from __future__ import annotations

import operator
from itertools import repeat
from typing import Any, NamedTuple

from streamproc.codec import QUICK_BYTES, Document, Unusual, decode_quickly, encode, encode_quickly
from streamproc.record import NO_RESULT
from streamproc.types import CallResult, Record

_IS_DISJOINT: Any = type({}.keys()).isdisjoint
_SPELLED_OUT = [b"\\u00%d" % high for high in range(3, 8)]
_FEW = 8  # names: what it is worth to look for each of them by itself


class Slice(NamedTuple):
    """Some records at once, and what is kept of them from before their calls: None if nothing.

    In `text`, all that was read with them, a word stands as it is where nothing is kept.
    """

    lines: list[bytes]
    text: bytes
    records: list[dict[str, Any]]
    given: list[dict[str, Any]] | None
    encoded: list[bytes] | None

    def first(self, count: int) -> Slice:
        """The first ones of them."""
        if count == len(self.lines):
            return self
        given = None if self.given is None else self.given[:count]
        encoded = None if self.encoded is None else self.encoded[:count]
        return Slice(self.lines[:count], self.text, self.records[:count], given, encoded)

    def document(self, k: int) -> Document:
        """Record k, as its call left it."""
        given = decode_quickly(self.lines[k]) if self.given is None else self.given[k]
        return Document.resumed(self.lines[k], self.records[k], given)


class Additions:
    """Of a stage whose results are members of the record, or the value of member `name`.

    Whatever is unusual about a record or a result is None here, and goes the long way.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._key = b",%b:" % encode(name)
        self._returns_argument = False
        self._may_replace = False  # members that are there already: those are to be known

    def one(self, line: bytes) -> Record | None:
        """The record of a line."""
        if not line or len(line) > QUICK_BYTES:
            return None
        try:
            record = decode_quickly(line)
        except Unusual:
            return None
        # byte values: the cheap way to see that there is no white space around the record
        if line[-1] != 0x7D or line[0] != 0x7B or not record or "_error" in record:
            return None
        return record

    def grown(self, line: bytes, given: Record, value: CallResult) -> bytes | None:
        """The line with what its call returned, if that is all there is to do."""
        try:
            if self._name is not None:
                if value is NO_RESULT or self._name in given:
                    return None
                tail = b"%b%b}" % (self._key, encode_quickly(value))
            elif type(value) is dict and value and given.keys().isdisjoint(value):
                tail = b"," + encode_quickly(value)[1:]
            else:
                return None
        except TypeError:
            return None
        return None if _is_suspect(tail) else line[:-1] + tail

    def some(self, lines: list[bytes]) -> Slice | None:
        """The records of some lines, none of which is empty.

        `map` calls C functions without bytecode in between, which is half of the time.
        """
        if max(map(len, lines)) > QUICK_BYTES:
            return None
        try:
            records = list(map(decode_quickly, lines))
            encoded = list(map(encode_quickly, records)) if self._returns_argument else None
        except (*Unusual, TypeError):
            return None
        if _is_odd(lines, records):
            return None
        text = b"".join(lines)
        is_kept = self._may_replace or _may_spell_out(text)
        given = list(map(dict.copy, records)) if is_kept else None
        return Slice(lines, text, records, given, encoded)

    def all_grown(self, some: Slice, values: list[CallResult]) -> list[bytes] | None:
        """Their lines with what the calls returned."""
        if not values:
            return []
        try:
            tails = self._tails(some, values)
        except TypeError:
            return None
        return tails and list(map(operator.add, [line[:-1] for line in some.lines], tails))

    def _tails(self, some: Slice, values: list[CallResult]) -> list[bytes] | None:
        if self._name is not None:
            if None in values:
                return None
            values = [{self._name: value} for value in values]
        elif set(map(type, values)) != {dict} or not all(values):
            return None
        else:
            self._returns_argument = all(map(operator.is_, values, some.records))
            if self._returns_argument:
                return some.encoded and _appended(some.encoded, list(map(encode_quickly, values)))
        return _tails_of(values) if self._are_new(some, values) else None

    def _are_new(self, some: Slice, added: list[Record]) -> bool:
        """Whether no record had a member of those that are added to it."""
        if some.given is not None:
            return all(map(_IS_DISJOINT, map(dict.keys, some.given), added))
        names = set().union(*added)
        are_words = len(names) <= _FEW and all(map(_is_word, names))
        self._may_replace = not are_words or any(encode(name) in some.text for name in names)
        return not self._may_replace


def _is_word(name: object) -> bool:
    return isinstance(name, str) and name.isascii() and name.isidentifier()


def _may_spell_out(text: bytes) -> bool:
    """Whether a letter, a digit or an underscore may stand in it escaped, with its number."""
    # a single byte is found faster than several are
    return b"\\" in text and b"\\u00" in text and any(begin in text for begin in _SPELLED_OUT)


def _is_odd(lines: list[bytes], records: list[Record]) -> bool:
    """Whether any line is empty inside, has space around it, or an `_error`."""
    return (
        not all(records)
        or any(map(operator.contains, records, repeat("_error")))
        or lines != list(map(bytes.strip, lines))
    )


def _is_suspect(tail: bytes) -> bool:
    """What NaN is written as, or a reserved key."""
    return tail.find(b"null") >= 0 or tail.find(b"_error") >= 0


def _tails_of(values: list[Record]) -> list[bytes] | None:
    """Each as it is written, with a comma for its opening brace.

    They are written in one go: no text of JSON has a line end in it.
    """
    text = encode_quickly(values)
    if _is_suspect(text):
        return None
    tails = (b"," + text[2:-1]).replace(b"},{", b"}\n,").split(b"\n")
    if len(tails) == len(values):
        return tails
    return [b"," + new[1:] for new in map(encode_quickly, values)]


def _appended(before: list[bytes], after: list[bytes]) -> list[bytes] | None:
    """What was added to records that a function changed and returned.

    If a record, written before and after the call, begins the same, then it only got new
    members: that covers everything that may have been changed in place.
    """
    tails = []
    for old, new in zip(before, after, strict=True):
        end = len(old) - 1
        if new[:end] != old[:end] or new[end] not in b",}":
            return None
        tails.append(new[end:])
    return None if _is_suspect(b"".join(tails)) else tails
