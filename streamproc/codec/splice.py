"""New members into a record's bytes, every untouched byte as it came.

A record here is the bytes of one JSON object, without white space around it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import chain, repeat
from json.decoder import JSONDecoder
from typing import Any, NamedTuple

import msgspec
from orjson import dumps

from streamproc.codec.decode import decode, decode_any
from streamproc.codec.encode import encode
from streamproc.record import Selected

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_span = JSONDecoder(parse_int=len, parse_float=len).raw_decode  # spans only: values may be any size
# Of a valid object: what is before a key, the key, the colon, and the value if it is no container.
_next_member = re.compile(
    rb"""
    ( [{, \t\r\n]*+ )  ( "(?:[^"\\]++|\\.)*+" )  ( [ \t\r\n]*+ : [ \t\r\n]*+ )
    ( "(?:[^"\\]++|\\.)*+" | [^"\[{,} \t\r\n]*+ )
    """,
    re.VERBOSE,
).match


class Member(NamedTuple):
    """One member of an object: its name, and the bytes of key and value as they came.

    `lead` are the bytes before the key (brace or comma, white space), `colon` those
    between key and value.
    """

    name: str
    lead: bytes
    key: bytes
    colon: bytes
    value: bytes


def append(record: bytes, has_members: bool, added: bytes) -> bytes:
    """`record` with the members of the object `added` before its closing brace."""
    if has_members:
        return b"%b,%b" % (record[:-1], added[1:])
    return record[:-1] + added[1:]  # white space in an empty object stays, too


def members(record: bytes) -> tuple[list[Member], bytes]:
    """The top-level members in their order, duplicates included, and what follows them."""
    with suppress(msgspec.MsgspecError, TypeError):
        values = _raw_members(record)
        for comma, colon in ((b",", b":"), (b", ", b": ")):
            lead = repeat(comma)
            found = [
                Member(name, mark, b'"%b"' % name.encode(), colon, bytes(value))
                for mark, (name, value) in zip(chain((b"{",), lead), values.items(), strict=False)
            ]
            # msgspec keeps one of several equal keys. If the members, written in one of the
            # two usual ways, give back the record, there were none, and no escapes in a key.
            if found and join(found) == record:
                return found, b"}"
    return _scan_members(record)


def _scan_members(record: bytes) -> tuple[list[Member], bytes]:
    text = record.decode("latin-1")  # places in it are places in `record`
    found = []
    at = 0
    while (match := _next_member(record, at)) is not None:
        lead, key, colon, value = match.groups()
        at = match.end()
        if not value:  # an array or an object
            _, end = _span(text, at)
            at, value = end, record[at:end]
        name = decode_any(key) if b"\\" in key else key[1:-1].decode()
        found.append(Member(name, lead, key, colon, value))
    return found, record[at:]


def join(found: list[Member], end: bytes = b"}") -> bytes:
    """The object made of these members, as they came."""
    return b"".join([m.lead + m.key + m.colon + m.value for m in found]) + end


def compact(found: list[Member]) -> bytes:
    """The object made of these members, without white space between them."""
    return b"{" + b",".join([m.key + b":" + m.value for m in found]) + b"}"


def _member(name: str, value: bytes) -> Member:
    return Member(name, b",", encode(name), b":", value)


def rewrite(record: bytes, changed: dict[str, Any]) -> bytes:
    """`record` with the values of existing keys replaced, each at its first place."""
    out, done = [], set()
    found, end = members(record)
    for member in found:
        if member.name not in changed:
            out.append(member)
        elif member.name not in done:
            done.add(member.name)
            out.append(member._replace(value=encode(changed[member.name])))
    return join(out, end)


def without(record: bytes, names: set[str]) -> bytes:
    """`record` without the members `names`; what is left keeps its bytes if they came last."""
    found, _ = members(record)
    kept = [m for m in found if m.name not in names]
    if len(kept) == len(found):
        return record
    if found[: len(kept)] == kept:
        lead = found[len(kept)].lead
        if kept:  # white space before the comma was white space before the brace
            lead = lead.partition(b",")[0]
        return join(kept, lead + b"}")
    return compact(kept)


def rebuild(record: bytes, given: dict[str, Any], value: dict[str, Any]) -> bytes:
    """The object `value`; members equal to those of `given` keep their bytes in `record`.

    Duplicates of a kept key stay, beside it, as they came.
    """
    sources: dict[str, list[Member]] = {}
    for member in members(record)[0]:
        sources.setdefault(member.name, []).append(member)
    out: list[Member] = []
    for name, item in value.items():
        if name in sources and same(item, given[name]):
            out.extend(sources[name])
        else:
            made = _member(name, encode(item))
            out.append(made._replace(key=sources[name][0].key) if name in sources else made)
    return compact(out)


def selected(record: bytes, value: Selected) -> bytes:
    """The object `value`; what is taken over from `record` as it stands there keeps its bytes."""
    if value.path is not None and (found := _dig(record, value.path)):
        return found
    out = []
    for name, item in value.items():
        found = _dig(record, value.paths[name]) if name in value.paths else None
        out.append(_member(name, encode(item) if found is None else found))
    return compact(out)


def _dig(record: bytes, path: tuple[str, ...]) -> bytes | None:
    """The bytes at `path`, None if nothing is there."""
    for name in path:
        if not record.startswith(b"{"):
            return None
        try:
            record = bytes(_raw_members(record)[name])
        except KeyError:
            return None
        except (msgspec.MsgspecError, TypeError):  # the last of equal keys counts
            found = [m.value for m in members(record)[0] if m.name == name]
            if not found:
                return None
            record = found[-1]
    return record


def graft(record: bytes, path: tuple[str, ...], value: bytes) -> bytes:
    """`record` with `value` (JSON bytes) at `path`; objects on the way keep their other bytes.

    What stands in the way and is no object is replaced by one.
    """
    name, *rest = path
    out: list[Member] = []
    found, end = members(record)
    inner = next((m.value for m in reversed(found) if m.name == name), b"")  # the last one counts
    if rest:
        value = graft(inner if inner.startswith(b"{") else b"{}", tuple(rest), value)
    done = False
    for member in found:
        if member.name != name:
            out.append(member)
        elif not done:
            done = True
            out.append(member._replace(value=value))
    if done:
        return join(out, end)
    return append(record, bool(found), b"{%b:%b}" % (encode(name), value))


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
    """Equal in value and in type: 1, 1.0 and True are three values. `b` came from JSON."""
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is dict or kind is list:
        try:
            written = dumps(a)
            if written.find(b"null") < 0 and written == dumps(b):  # NaN is written as null, too
                return True
        except TypeError:
            pass  # deep, or with long integers
        return _same_members(a, b)
    if kind is float:
        return a == b and str(a) == str(b)  # 0.0 and -0.0 are spelled differently
    return bool(a == b)


def _same_members(a: Any, b: Any) -> bool:
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
