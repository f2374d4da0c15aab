"""Which members of what came back from user code are what the record had before."""

from __future__ import annotations

import marshal
from contextlib import suppress
from typing import Any

import msgspec
from orjson import dumps

from streamproc.codec.decode import decode
from streamproc.codec.splice import unspaced_members, write
from streamproc.types import JsonObject, JsonValue, Record

_PLAIN = 2  # the version of marshal that writes what is equal as the same bytes


def differences(record: bytes, given: Record, returned: Record) -> JsonObject:
    """The members of `returned` that `record` does not have already.

    `given` is a shallow copy of what user code got. A container in it may have been
    changed in place since, so containers are compared with `record` itself: as they are
    written, else decoded once more.
    """
    source: dict[str, msgspec.Raw] | None = None
    pristine: dict[str, Any] | None = None
    out = {}
    for name, value in returned.items():
        if name in given:
            before = given[name]
            if type(before) is dict or type(before) is list:
                if type(value) is type(before):
                    if source is None:
                        source = unspaced_members(record) or {}
                    if name in source and _is_written(value, bytes(source[name])):
                        continue
                if pristine is None:
                    pristine = decode(record)
                before = pristine[name]
            elif before is value:
                continue
            if same(value, before):
                continue
        out[name] = value
    return out


def _is_written(value: JsonValue, source: bytes) -> bool:
    """Whether `source` is what `value` is written as. False says nothing."""
    if source.find(b"null") >= 0:  # so are NaN and infinities
        return False
    try:
        return dumps(value) == source
    except TypeError:  # deep, perhaps
        with suppress(Exception):
            return write(value) == source
        return False


def same(a: JsonValue, b: JsonValue) -> bool:
    """Equal in value and in type: 1, 1.0 and True are three values. `b` came from JSON."""
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is dict or kind is list:
        with suppress(TypeError):  # deep, or with long integers
            written = dumps(a)
            if written.find(b"null") < 0 and written == dumps(b):  # NaN is written as null, too
                return True
        with suppress(Exception):  # user code may have put in what has no answer to that
            if a != b:
                return False
            if marshal.dumps(a, _PLAIN) == marshal.dumps(b, _PLAIN):
                return True
        return _same_members(a, b)
    if kind is float:
        return a == b and str(a) == str(b)  # 0.0 and -0.0 are spelled differently
    return bool(a == b)


def _same_members(a: JsonValue, b: JsonValue) -> bool:
    """The same for containers of one kind, whatever the order of keys, however deep."""
    pairs = [(a, b)]
    while pairs:
        a, b = pairs.pop()
        kind = type(a)
        if kind is not type(b):
            return False
        if kind is dict:
            if a.keys() != b.keys():
                return False
            pairs += [(value, b[key]) for key, value in a.items()]
        elif kind is list:
            if len(a) != len(b):
                return False
            pairs += zip(a, b, strict=True)
        elif not same(a, b):
            return False
    return True
