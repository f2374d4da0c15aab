"""Value → JSON bytes, refusing what JSON cannot say.

orjson writes the usual value; what it refuses although it is JSON (integers beyond
64 bits, lone surrogates, deep nesting) is written here, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import TypeAlias

import orjson

from streamproc.codec.integers import digits
from streamproc.codec.shape import MAX_DEPTH

# For loops that cannot afford a call per record: what `encode` does first. TypeError and
# a `null` in the result want `encode` itself.
encode_quickly = orjson.dumps

_Parts: TypeAlias = "Iterator[str | _Parts]"


def encode(value: object) -> bytes:
    """Compact JSON of `value`.

    Raises TypeError for a type that JSON has no word for (set, bytes, Decimal, a dict
    key that is no string) and ValueError for NaN and infinities: `null` instead would
    be a silent change; also for what nests deeper than records may, or contains itself.
    """
    try:
        out = orjson.dumps(value)
    except TypeError:
        return _encode_exact(value).encode()
    if out.find(b"null") >= 0:  # also what orjson makes of NaN; half the time of `in`
        _refuse_nan(value, "")
    return out


def _encode_exact(value: object) -> str:
    """Without recursion: records may nest deeper than Python calls."""
    out: list[str] = []
    inside: list[_Parts] = [_parts(value, "")]
    while inside:
        for part in inside[-1]:
            if not isinstance(part, str):
                if len(inside) > MAX_DEPTH:
                    raise ValueError(f"nested deeper than {MAX_DEPTH} levels, or inside itself")
                inside.append(part)
                break
            out.append(part)
        else:
            inside.pop()
    return "".join(out)


def _parts(value: object, path: str) -> _Parts:
    """The text of `value`, with iterators in it where its members come."""
    match value:
        case None:
            yield "null"
        case True:
            yield "true"
        case False:
            yield "false"
        case str():
            yield encode_basestring_ascii(value)
        case int():
            yield digits(value)
        case dict():
            lead = "{"
            for key, item in value.items():
                if not isinstance(key, str):
                    name = type(key).__name__
                    raise TypeError(f"{_at(path)}a key is {name}, JSON keys are strings")
                yield f"{lead}{encode_basestring_ascii(key)}:"
                yield _parts(item, f"{path}.{key}" if path else key)
                lead = ","
            yield "}" if value else "{}"
        case list() | tuple():
            lead = "["
            for i, item in enumerate(value):
                yield lead
                yield _parts(item, f"{path}[{i}]")
                lead = ","
            yield "]" if value else "[]"
        case _:
            _refuse_nan(value, path)
            try:
                yield orjson.dumps(value).decode()
            except TypeError:
                raise TypeError(f"{_at(path)}{type(value).__name__} is not JSON") from None


def _refuse_nan(value: object, path: str) -> None:
    if isinstance(value, float):
        if value - value != 0.0:
            raise ValueError(f"{_at(path)}{value} is not JSON, return None instead")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_nan(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _refuse_nan(item, f"{path}[{i}]")
    elif hasattr(value, "__dataclass_fields__"):
        _refuse_nan({name: getattr(value, name) for name in value.__dataclass_fields__}, path)


def _at(path: str) -> str:
    return f"{path}: " if path else ""
