"""What records differ in, member by member."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from streamproc.codec import encode
from streamproc.types import JsonValue, Record

_ABSENT = object()


class Difference(NamedTuple):
    """At `where`, `expected` and not `got`; None for nothing there, both for what says it all."""

    where: str
    expected: str | None = None
    got: str | None = None


def differences_of(
    expected: Sequence[object], got: Sequence[object], *, ordered: bool
) -> Iterator[Difference]:
    """Record by record; without an order, by what they are."""
    if not ordered:
        expected, got = sorted(expected, key=_by_content), sorted(got, key=_by_content)
    for i, (one, other) in enumerate(zip_longest(expected, got, fillvalue=_ABSENT), 1):
        yield from _between(one, _in_part(one, other), f"record {i}")


def in_brief(record: Record) -> Record:
    """A record as a test should expect it: of its `_error` what stays the same."""
    error = record.get("_error")
    if not isinstance(error, dict):
        return record
    return record | {"_error": {name: error[name] for name in ("stage", "kind") if name in error}}


def _by_content(record: object) -> bytes:
    members = record.items() if isinstance(record, dict) else [("", record)]
    return encode(sorted([name, encode(value).decode()] for name, value in members))


def _in_part(expected: object, got: object) -> JsonValue:
    """`got` with no more of an `_error` than `expected` has: messages may be reworded."""
    if not (isinstance(expected, dict) and isinstance(got, dict)):
        return got
    wanted, error = expected.get("_error"), got.get("_error")
    if not (isinstance(wanted, dict) and isinstance(error, dict)):
        return got
    return got | {"_error": {name: error[name] for name in error.keys() & wanted.keys()}}


def _between(expected: object, got: object, where: str) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in {**expected, **got}:
            one, other = expected.get(name, _ABSENT), got.get(name, _ABSENT)
            yield from _between(one, other, _joined(where, name))
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for k, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _between(one, other, f"{where}[{k}]")
    elif isinstance(expected, bool) is not isinstance(got, bool) or expected != got:
        yield Difference(where, _shown(expected), _shown(got))


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if ":" in where else f"{where}: {name}"


def _shown(value: object) -> str | None:
    return None if value is _ABSENT else encode(value).decode()
