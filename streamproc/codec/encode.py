"""Value → JSON bytes, refusing what JSON cannot say.

orjson writes the usual value; what it refuses although it is JSON (integers beyond
64 bits, lone surrogates, deep nesting) is written here, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

import orjson

from streamproc.codec.integers import digits
from streamproc.codec.shape import MAX_DEPTH, TOO_DEEP

# For loops that cannot afford a call per record: what `encode` does first. TypeError and
# a `null` in the result want `encode` itself.
encode_quickly = orjson.dumps

_Step = str | int
"""From an object to a member of it, from a list to an element."""


class _Inside(NamedTuple):
    """A value whose text comes next."""

    step: _Step
    value: object


def encode(value: object, levels: int = 0) -> bytes:
    """Compact JSON of `value`, which will stand `levels` deep in a record.

    Raises TypeError for a type that JSON has no word for (set, bytes, Decimal, a dict
    key that is no string) and ValueError for NaN and infinities: `null` instead would
    be a silent change; also for what nests deeper than records may, or contains itself.
    """
    try:
        out = orjson.dumps(value)
    except TypeError:
        return _encode_exact(value, levels).encode()
    if out.find(b"null") >= 0:  # also what orjson makes of NaN; half the time of `in`
        _refuse_nan(value)
    return out


def _encode_exact(value: object, levels: int) -> str:
    """Without recursion: records may nest deeper than Python calls."""
    out: list[str] = []
    steps: list[_Step] = []
    inside = [_parts(value)]
    while inside:
        try:
            for part in inside[-1]:
                if isinstance(part, str):
                    out.append(part)
                else:
                    value = part.value
                    steps.append(part.step)
                    inside.append(_parts(value))
                    break
            else:
                inside.pop()
                del steps[-1:]
        except (TypeError, ValueError) as error:
            raise type(error)(f"{_at(steps)}{error}") from None
        if len(inside) + levels > MAX_DEPTH and isinstance(value, dict | list | tuple):
            raise ValueError(f"{TOO_DEEP}, or inside itself")
    return "".join(out)


def _parts(value: object) -> Iterator[str | _Inside]:
    """The text of `value`, and its members where theirs come."""
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
                    raise TypeError(f"a key is {type(key).__name__}, JSON keys are strings")
                yield f"{lead}{encode_basestring_ascii(key)}:"
                yield _Inside(key, item)
                lead = ","
            yield "}" if value else "{}"
        case list() | tuple():
            lead = "["
            for i, item in enumerate(value):
                yield lead
                yield _Inside(i, item)
                lead = ","
            yield "]" if value else "[]"
        case _:
            _refuse_nan(value)
            try:
                yield orjson.dumps(value).decode()
            except TypeError:
                raise TypeError(f"{type(value).__name__} is not JSON") from None


def _refuse_nan(value: object) -> None:
    """Raises ValueError if a number in `value`, which orjson has written, is no JSON."""
    steps: list[_Step] = []
    inside: list[Iterator[tuple[_Step, object]]] = [iter([("", value)])]
    while inside:
        for step, item in inside[-1]:
            if isinstance(item, float):
                if item - item != 0.0:
                    where = _at([*steps[1:], step] if steps else [])
                    raise ValueError(f"{where}{item} is not JSON, return None instead")
            elif (members := _members(item)) is not None:
                steps.append(step)
                inside.append(iter(members))
                break
        else:
            inside.pop()
            del steps[-1:]


def _members(value: object) -> Iterable[tuple[_Step, object]] | None:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if hasattr(value, "__dataclass_fields__"):
        return [(name, getattr(value, name)) for name in value.__dataclass_fields__]
    return None


def _at(steps: list[_Step]) -> str:
    """Where that is. It is written only if it is told: a member may have a long name."""
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{written.removeprefix('.')}: " if steps else ""
