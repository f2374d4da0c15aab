"""New members into a record's bytes, every untouched byte as it came.

A record here is the bytes of one JSON object, without white space around it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, groupby
from json.decoder import JSONDecoder
from typing import Any, NamedTuple

import msgspec

from streamproc.codec.decode import Unusual
from streamproc.codec.encode import encode
from streamproc.codec.shape import TOO_DEEP, is_too_deep
from streamproc.paths import Path
from streamproc.record import WHITESPACE, Selected
from streamproc.types import JsonObject, Record

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
write = msgspec.json.Encoder().encode
_strings = msgspec.json.Decoder(list[str]).decode
_span = JSONDecoder(parse_int=len, parse_float=len).raw_decode  # spans only: values may be any size
_AROUND_KEY = b"{,: \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_SHALLOW = rb'[\[{](?:[^][{}"]++|%b)*+[\]}]' % _STRING  # which bracket it is says the parser
for _ in range(2):
    _SHALLOW = rb'[\[{](?:[^][{}"]++|%b|%b)*+[\]}]' % (_STRING, _SHALLOW)
_SPACED_COLON = rb"[^:]*+:[ \t\r\n]"  # the usual reason, seen at once
_BEFORE_DEEP = rb'(?:[^"\[{]++|%b|%b)*+' % (_STRING, _SHALLOW)
# What stands before a value, and the value if it is no container of many levels.
_MEMBER = rb"([{, \t\r\n]*+%b[ \t\r\n]*+:[ \t\r\n]*+)(%b|%b|[^\[{,} \t\r\n]*+)" % (
    _STRING,
    _STRING,
    _SHALLOW,
)
_compiled = cache(re.compile)  # when one is needed: it takes as long as to load a module

# One member as it came: brace or comma, key, colon and the white space around them; the value.
Part = tuple[bytes, bytes]


class Members(NamedTuple):
    """The top-level members of an object in their order, duplicates included."""

    names: list[str]
    parts: list[Part]
    end: bytes  # what follows them; of an object without members all of it


def append(record: bytes, has_members: bool, added: bytes) -> bytes:
    """`record` with the members of the object `added` before its closing brace."""
    if has_members:
        return b"%b,%b" % (record[:-1], added[1:])
    return record[:-1] + added[1:]  # white space in an empty object stays, too


def members(record: bytes) -> Members:
    """Those of the object `record`."""
    body = record[:-1].rstrip(WHITESPACE)
    if body == b"{":
        return Members([], [], record)
    end = record[len(body) :]
    if body.find(b"[") < 0 and body.find(b"{", 1) < 0:
        parts = _compiled(_MEMBER).findall(body)
        return Members(_names(parts), parts, end)
    containers = _Containers(record)
    parts = []
    at = 0
    while at < len(body):
        match = _compiled(_BEFORE_DEEP).match(body, at or 1)
        assert match is not None
        parts += _compiled(_MEMBER).findall(body, at, at := match.end())
        if at < len(body):
            head, _ = parts[-1]
            value = containers.find(head.strip(_AROUND_KEY), at)
            parts[-1] = head, value
            at += len(value)
    return Members(_names(parts), parts, end)


class _Containers:
    """The arrays and objects that are members of a record."""

    def __init__(self, record: bytes) -> None:
        self._record = record
        self._text: str | None = None
        self._values: dict[str, Any] = {}  # of equal names the last one
        with suppress(msgspec.MsgspecError, TypeError):
            self._values = _raw_members(record)

    def find(self, key: bytes, at: int) -> bytes:
        """The one that begins at `at`, after `key`."""
        name = key[1:-1].decode()
        if name in self._values:
            value = self._values[name]
            if type(value) is not bytes:
                value = self._values[name] = bytes(value)
            if self._record.startswith(value, at):
                return value
        if self._text is None:
            self._text = self._record.decode("latin-1")  # places in it are places in the record
        _, end = _span(self._text, at)
        return self._record[at:end]


def _names(parts: list[Part]) -> list[str]:
    keys = b"[%b]" % b",".join([head.strip(_AROUND_KEY) for head, _ in parts])
    try:
        return _strings(keys)
    except msgspec.MsgspecError:  # a lone surrogate
        found: list[str] = json.loads(keys)
        return found


def values(record: bytes) -> dict[str, bytes]:
    """The members of `record` by name; of equal names the last one counts."""
    with suppress(*Unusual):
        return {name: bytes(value) for name, value in _raw_members(record).items()}
    names, parts, _ = members(record)
    return {name: value for name, (_, value) in zip(names, parts, strict=True)}


def _join(parts: Iterable[Part | tuple[()]], end: bytes) -> bytes:
    return b"".join(chain.from_iterable(parts)) + end


def _compact(parts: Iterable[Part]) -> bytes:
    return b"{%b}" % b",".join([b"%b:%b" % (head.strip(_AROUND_KEY), v) for head, v in parts])


def unspaced_members(record: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of `record`, of equal names the last one; None where there are spaces."""
    if _compiled(_SPACED_COLON).match(record):
        return None
    try:
        return _raw_members(record)
    except Unusual:
        return None


def _plain_members(record: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of `record`, if it is written as `compact` writes them: it takes a fraction.

    None if it has a name twice, or in other characters than need be, or spaces between members.
    """
    found = unspaced_members(record)
    return found if found is not None and write(found) == record else None


def rewrite(record: bytes, new: dict[str, bytes]) -> bytes:
    """`record` with the values (JSON) of existing keys replaced, each at its first place."""
    if (plain := _plain_members(record)) is not None:
        plain |= {name: msgspec.Raw(value) for name, value in new.items()}
        return write(plain)
    found = members(record)
    return _join(_replaced(found, new), found.end)


def _replaced(found: Members, new: dict[str, bytes]) -> list[Part | tuple[()]]:
    """The parts with the first of each name in `new` as it is there, without the others."""
    names, parts, _ = found
    out: list[Part | tuple[()]] = list(parts)
    done = set()
    for k in [k for k, name in enumerate(names) if name in new]:
        out[k] = () if names[k] in done else (parts[k][0], new[names[k]])
        done.add(names[k])
    return out


def without(record: bytes, names: set[str]) -> bytes:
    """`record` without the members `names`; what is left keeps its bytes if they came last."""
    if (plain := _plain_members(record)) is not None:
        for name in names & plain.keys():
            del plain[name]
        return write(plain)
    found = members(record)
    kept = [k for k, name in enumerate(found.names) if name not in names]
    if len(kept) == len(found.names):
        return record
    if not kept or kept[-1] == len(kept) - 1:
        lead = found.parts[len(kept)][0].partition(b'"')[0]
        if kept:  # white space before the comma was white space before the brace
            lead = lead.partition(b",")[0]
        return _join(found.parts[: len(kept)], lead + b"}")
    return _compact([found.parts[k] for k in kept])


def rebuild(record: bytes, changed: JsonObject, value: Record) -> bytes:
    """The object `value`; its members that are not `changed` keep their bytes in `record`.

    Duplicates of a kept key stay, beside it, as they came. Members in a row are written at once:
    there may be many more of them than `record` had.
    """
    if (plain := _plain_members(record)) is not None:
        return _in_rows(value, changed, lambda row: write({name: plain[name] for name in row}))
    names, parts, _ = members(record)
    kept = dict(zip(names[::-1], parts[::-1], strict=True))  # of equal names the first one
    several = _duplicates(names, parts) if len(kept) < len(names) else {}
    for name in kept.keys() & changed.keys():
        several.pop(name, None)
        kept[name] = kept[name][0], encode(changed[name], 1)
    new = {name: item for name, item in changed.items() if name not in kept}
    return _in_rows(
        value,
        new,
        lambda row: _compact([part for name in row for part in several.get(name) or [kept[name]]]),
    )


def _in_rows(
    names: Iterable[str], new: JsonObject, kept: Callable[[Iterable[str]], bytes]
) -> bytes:
    """The members `names`, those that are not `new` as `kept` writes an object of some of them."""
    rows = [
        encode({name: new[name] for name in row}) if is_new else kept(row)
        for is_new, row in groupby(names, new.__contains__)
    ]
    return b"{%b}" % b",".join([row[1:-1] for row in rows])


def _duplicates(names: list[str], parts: list[Part]) -> dict[str, list[Part]]:
    counts = Counter(names)
    found: dict[str, list[Part]] = {}
    for name, part in zip(names, parts, strict=True):
        if counts[name] > 1:
            found.setdefault(name, []).append(part)
    return found


def selected(record: bytes, value: Selected) -> bytes:
    """The object `value`; what is taken over from `record` as it stands there keeps its bytes.

    Raises ValueError if that nests deeper than records may.
    """
    if value.path is not None and (found := _dig(record, value.path)):
        return found
    out: list[Part] = []
    for name, item in value.items():
        found = _dig(record, value.paths[name]) if name in value.paths else None
        out.append((encode(name), encode(item, 1) if found is None else found))
    line = _compact(out)
    if () in value.paths.values() and is_too_deep(line):  # the record is one level deeper in it
        raise ValueError(TOO_DEEP)
    return line


def _dig(record: bytes, path: Path) -> bytes | None:
    """The bytes at `path`, None if nothing is there."""
    for name in path:
        if not record.startswith(b"{"):
            return None
        try:
            record = bytes(_raw_members(record)[name])
        except KeyError:
            return None
        except (msgspec.MsgspecError, TypeError):
            found = values(record)
            if name not in found:
                return None
            record = found[name]
    return record


def graft(record: bytes, path: Sequence[str], value: bytes) -> bytes:
    """`record` with `value` (JSON) at `path`; objects on the way keep their other bytes.

    What stands in the way and is no object is replaced by one.
    """
    name, *rest = path
    found = values(record)
    if rest:
        value = graft_into(found.get(name), rest, value)
    if name in found:
        return rewrite(record, {name: value})
    return append(record, bool(found), b"{%b:%b}" % (encode(name), value))


def graft_into(member: bytes | None, path: Sequence[str], value: bytes) -> bytes:
    """The same, of what may be no object, or not there."""
    return graft(member if member and member.startswith(b"{") else b"{}", path, value)
