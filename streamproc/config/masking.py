"""Secrets that stand in a pipeline file: where they are, by the names of what they are for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from streamproc.config.registry import connector
from streamproc.config.settings import OWN_KEYS
from streamproc.errors import ConfigError
from streamproc.interfaces import Connector
from streamproc.types import JsonValue, Table

_NAME = r"(?i)key|token|secret|passw(?:or)?d|passphrase|authorization|cookie"
# of an http table, of a function, of plugins: names that somebody else chose
_BY_NAME = ("headers", "query", "form", "json", "monitor", "options", "observers")
_ENDS = ("source", "sink", "dead_letter")
_OF_AUTH = ("bearer", "basic", "value")
_PARAMETER = r"([?&][^=&#?]*=)([^&#]*)"
_FIELD = r"\{[^{}]*\}"
_SCHEMES = ("", "bearer", "basic", "token")
_LEAST = 8  # a shorter one may be a word that messages need

Mask = Callable[[str], str]


def masked(value: Table, mask: Mask) -> Table:
    """`value`, a pipeline file, with `mask(text)` in the place of each secret.

    What comes from `${VAR}` or from a field of the record is no secret of the file.
    """
    out: dict[str, Any] = _masked(value, mask)
    stages = value.get("stage")
    if isinstance(stages, list | tuple):
        out["stage"] = [_of_stage(each, mask) for each in stages]
    for name in _ENDS:
        if isinstance(out.get(name), dict):
            out[name] = {k: _of_end(k, v, mask) for k, v in value[name].items()}
    return out


def _masked(value: object, mask: Mask) -> JsonValue:
    if isinstance(value, list | tuple):
        return [_masked(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    out = {name: _masked(each, mask) for name, each in value.items()}
    for name in _BY_NAME:
        if name in out:
            out[name] = _by_name(value[name], mask)
    if isinstance(out.get("auth"), dict):
        auth = value["auth"].items()
        out["auth"] = {k: _literal(v, mask) if k in _OF_AUTH else v for k, v in auth}
    if isinstance(out.get("url"), str):
        out["url"] = re.sub(_PARAMETER, lambda found: _of_parameter(found, mask), out["url"])
    return out


def _of_stage(value: object, mask: Mask) -> JsonValue:
    """A stage: what plugins add to its keys, they have named."""
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = _masked(value, mask)
    out |= {name: _by_name(each, mask) for name, each in value.items() if name not in OWN_KEYS}
    if isinstance(value.get("all"), list | tuple):
        out["all"] = [_of_stage(each, mask) for each in value["all"]]
    return out


def literal_secrets(table: JsonValue) -> Iterator[str]:
    """Those that messages are without: the long ones, and the password in `user:password`."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    masked(table, note)
    for text in found:
        if len(text) >= _LEAST:
            yield text
            password = text.partition(":")[2]
            if len(password) >= _LEAST:
                yield password


def _of_end(scheme: str, table: object, mask: Mask) -> JsonValue:
    try:
        kind = connector(scheme)
    except ConfigError:
        kind = None
    return _by_connector(kind or Connector, table, mask)


def _by_connector(kind: type[Connector], table: object, mask: Mask) -> JsonValue:
    """A table of an end, and the tables in it."""
    if not isinstance(table, dict):
        return table
    return {
        name: _literal(each, mask) if kind.is_secret(name) else _by_connector(kind, each, mask)
        for name, each in table.items()
    }


def _by_name(value: object, mask: Mask) -> JsonValue:
    if isinstance(value, list | tuple):
        return [_by_name(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _literal(each, mask) if re.search(_NAME, name) and isinstance(each, str)
        else _by_name(each, mask)
        for name, each in value.items()
    }  # fmt: skip


def _literal(value: object, mask: Mask) -> JsonValue:
    if not isinstance(value, str) or "${" in value:
        return value
    return value if re.sub(_FIELD, "", value).strip().casefold() in _SCHEMES else mask(value)


def _of_parameter(found: re.Match[str], mask: Mask) -> str:
    return found[1] + (_literal(found[2], mask) if re.search(_NAME, found[1]) else found[2])
