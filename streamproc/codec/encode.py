"""Value → JSON bytes, refusing what JSON cannot say.

orjson writes the usual value; what it refuses although it is JSON (integers beyond
64 bits, lone surrogates, deep nesting) is written here, exactly.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii

import orjson

from streamproc.codec.integers import digits

# For loops that cannot afford a call per record: what `encode` does first. TypeError and
# a `null` in the result want `encode` itself.
encode_quickly = orjson.dumps


def encode(value: object) -> bytes:
    """Compact JSON of `value`.

    Raises TypeError for a type that JSON has no word for (set, bytes, Decimal, a dict
    key that is no string) and ValueError for NaN and infinities: `null` instead would
    be a silent change.
    """
    try:
        out = orjson.dumps(value)
    except TypeError:
        return _encode_exact(value, "").encode()
    if out.find(b"null") >= 0:  # also what orjson makes of NaN; half the time of `in`
        _refuse_nan(value, "")
    return out


def _encode_exact(value: object, path: str) -> str:
    match value:
        case None:
            return "null"
        case True:
            return "true"
        case False:
            return "false"
        case str():
            return encode_basestring_ascii(value)
        case int():
            return digits(value)
        case dict():
            return "{" + ",".join(_member(k, v, path) for k, v in value.items()) + "}"
        case list() | tuple():
            items = (_encode_exact(v, f"{path}[{i}]") for i, v in enumerate(value))
            return "[" + ",".join(items) + "]"
        case _:
            _refuse_nan(value, path)
            try:
                return orjson.dumps(value).decode()
            except TypeError:
                raise TypeError(f"{_at(path)}{type(value).__name__} is not JSON") from None


def _member(key: object, value: object, path: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{_at(path)}a key is {type(key).__name__}, JSON keys are strings")
    where = f"{path}.{key}" if path else key
    return f"{encode_basestring_ascii(key)}:{_encode_exact(value, where)}"


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
