"""New members into a record's bytes, every untouched byte as it came.

A record here is the bytes of one JSON object, without white space around it.
"""

from __future__ import annotations

from json.decoder import JSONDecoder
from typing import Any, NamedTuple

import msgspec
from orjson import dumps

from streamproc.codec.decode import decode
from streamproc.codec.encode import encode

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_span = JSONDecoder(parse_int=len, parse_float=len).raw_decode  # spans only: values may be any size


class Member(NamedTuple):
    """One member of an object: its name, and the bytes of key and value as they came."""

    name: str
    key: bytes
    value: bytes


def append(record: bytes, has_members: bool, added: bytes) -> bytes:
    """`record` with the members of the object `added` before its closing brace."""
    if has_members:
        return b"%b,%b" % (record[:-1], added[1:])
    return record[:-1] + added[1:]  # white space in an empty object stays, too


def members(record: bytes) -> list[Member]:
    """The top-level members in their order, duplicates included."""
    try:
        found = [Member(k, dumps(k), bytes(v)) for k, v in _raw_members(record).items()]
        # msgspec keeps one of several equal keys. If the members, written in one of the two
        # usual ways, give back the record, then there were none, and no escapes in a key.
        if record in (_joined(found, b",", b":"), _joined(found, b", ", b": ")):
            return found
    except (msgspec.MsgspecError, TypeError):
        pass
    return _scan_members(record)


def _joined(found: list[Member], comma: bytes, colon: bytes) -> bytes:
    return b"{" + comma.join([m.key + colon + m.value for m in found]) + b"}"


def _scan_members(record: bytes) -> list[Member]:
    text = record.decode()
    found = []
    at = _skip_space(text, 1)
    while text[at] != "}":
        name, end = _span(text, at)
        colon = _skip_space(text, end)
        start = _skip_space(text, colon + 1)
        _, stop = _span(text, start)
        found.append(Member(name, text[at:end].encode(), text[start:stop].encode()))
        at = _skip_space(text, stop)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return found


def _skip_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at


def join(found: list[Member]) -> bytes:
    """The object made of these members."""
    return _joined(found, b",", b":")


def rewrite(record: bytes, changed: dict[str, Any]) -> bytes:
    """`record` with the values of existing keys replaced, each at its first place."""
    out, done = [], set()
    for member in members(record):
        if member.name not in changed:
            out.append(member)
        elif member.name not in done:
            done.add(member.name)
            out.append(member._replace(value=encode(changed[member.name])))
    return join(out)


def rebuild(record: bytes, given: dict[str, Any], value: dict[str, Any]) -> bytes:
    """The object `value`; members equal to those of `given` keep their bytes in `record`.

    Duplicates of a kept key stay, beside it, as they came.
    """
    sources: dict[str, list[Member]] = {}
    for member in members(record):
        sources.setdefault(member.name, []).append(member)
    out: list[Member] = []
    for name, item in value.items():
        if name in sources and same(item, given[name]):
            out.extend(sources[name])
        else:
            key = sources[name][0].key if name in sources else encode(name)
            out.append(Member(name, key, encode(item)))
    return join(out)


def graft(record: bytes, path: tuple[str, ...], value: bytes) -> bytes:
    """`record` with `value` (JSON bytes) at `path`; objects on the way keep their other bytes.

    What stands in the way and is no object is replaced by one.
    """
    name, *rest = path
    out, done = [], False
    for member in members(record):
        if member.name != name:
            out.append(member)
        elif not done:
            done = True
            inner = member.value
            if rest:
                base = inner if inner.startswith(b"{") else b"{}"
                out.append(member._replace(value=graft(base, tuple(rest), value)))
            else:
                out.append(member._replace(value=value))
    if not done:
        out.append(Member(name, encode(name), graft(b"{}", tuple(rest), value) if rest else value))
    return join(out)


def differences(record: bytes, given: dict[str, Any], returned: dict[str, Any]) -> dict[str, Any]:
    """The members of `returned` that `record` does not have already.

    `given` is a shallow copy of what user code got. A container in it may have been
    changed in place since, so containers are compared with `record` itself.
    """
    pristine: dict[str, Any] | None = None
    out = {}
    for name, value in returned.items():
        if name in given:
            before = given[name]
            if type(before) is dict or type(before) is list:
                if pristine is None:
                    pristine = decode(record)
                before = pristine[name]
            elif before is value:
                continue
            if same(value, before):
                continue
        out[name] = value
    return out


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is float:
        return a == b and str(a) == str(b)  # 0.0 and -0.0 are spelled differently
    return bool(a == b)
