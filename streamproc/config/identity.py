"""What is done to the records: the part of the settings that the output depends on."""

from __future__ import annotations

from typing import Any

import msgspec

from streamproc.codec import encode
from streamproc.config.recipes import recipes
from streamproc.config.settings import Settings
from streamproc.interfaces import Policy
from streamproc.types import JsonValue, Table


def identity(settings: Settings) -> str:
    """The same for settings that make the same of every record; what `${VAR}` is does not count.

    Where records come from and go is not in it: positions tell.
    """
    from hashlib import sha256

    mode = "annotate" if settings.on_error == "stop" else settings.on_error
    stages = [_of_table(each) for each in settings.stage]
    matter: list[Any] = [stages, mode, settings.max_line_bytes]
    if settings.incoming_errors != "pass":
        matter.append(settings.incoming_errors)
    if settings.skip or settings.sample != 1.0:  # a limit may be raised, and the run goes on
        matter += [settings.skip, float(settings.sample), settings.sample_seed]
    return sha256(encode(matter)).hexdigest()


def plain(value: object) -> JsonValue:
    """A subclass of str, int or float as what it is a subclass of; a template as it is written."""
    if hasattr(value, "written"):
        return value.written
    return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))


def _of_table(table: msgspec.Struct) -> Table:
    """A stage, or who answers instead. How it is done may be another way after a resume."""
    known = recipes(type(table))
    manner = frozenset({"timeout"}).union(*(recipe.manner for recipe in known.values()))
    manner |= {name for name, recipe in known.items()
               if issubclass(recipe, Policy) and recipe.is_manner}  # fmt: skip
    return {
        name: _of_value(value, known[name].manner if name in known else frozenset())
        for name in table.__struct_fields__
        if name not in manner and (value := getattr(table, name)) not in (None, msgspec.UNSET)
    }


def _of_value(value: JsonValue, manner: frozenset[str]) -> JsonValue:
    """What a key of a stage says; what other tables contain is compared whole."""
    if isinstance(value, tuple):  # of stages
        return [_of_table(each) for each in value]
    plainly = msgspec.to_builtins(value, enc_hook=plain)
    if not isinstance(value, msgspec.Struct):
        return plainly
    return {k: v for k, v in plainly.items() if k not in manner and v is not None}
