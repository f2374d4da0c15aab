"""Values as TOML that people read: tables inside of others stay on one line."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamproc.config.identity import plain
from streamproc.config.masking import masked
from streamproc.config.settings import Settings
from streamproc.secrets import HIDDEN, redact
from streamproc.types import Foreign, JsonValue


def inline(value: object) -> JsonValue:
    """An item of tomlkit; members of tables that are None are left out."""
    import tomlkit

    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.append(None, tomlkit.ws(" "))
        for name, each in value.items():
            if each is not None:
                table.append(name, inline(each))
        return table.append(None, tomlkit.ws(" "))
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        array.extend(map(inline, value))
        return array
    return tomlkit.item(value)


def pipeline_file(settings: Mapping[str, object]) -> str:
    """A pipeline file that says `settings`; what is None or empty is left out."""
    import tomlkit

    document, stages = tomlkit.document(), tomlkit.aot()
    said = _said(settings)
    for stage in said.pop("stage"):
        stages.append(_fill(tomlkit.table(), stage))
    _fill(document, said).append("stage", stages)
    return tomlkit.dumps(document)


def pipeline_text(settings: Settings) -> str:
    """The same of all that `settings` say, defaults too, without secrets."""
    shown = masked(msgspec.to_builtins(settings, enc_hook=plain), lambda _: HIDDEN)
    return redact(pipeline_file(shown))


def _said(value: object, name: str = "") -> JsonValue:
    """Without members that say nothing. What is sent, as `json`, stays as it is."""
    if name == "json":
        return value
    if isinstance(value, Mapping):
        return {k: _said(v, k) for k, v in value.items() if v not in (None, {}, [], ())}
    return [_said(each) for each in value] if isinstance(value, list | tuple) else value


def _fill(table: Foreign, members: Mapping[str, object]) -> JsonValue:
    for name, value in members.items():
        table.append(name, inline(value))
    return table
