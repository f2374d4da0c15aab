"""Defaults < pipeline file < environment < flags < `--set`, with every error at once."""

from __future__ import annotations

import functools
import os
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from streamproc.config.addresses import of_other_side
from streamproc.config.contradictions import contradictions
from streamproc.config.masking import literal_secrets
from streamproc.config.origins import expand, join, locate
from streamproc.config.recipes import own_kinds, recipes
from streamproc.config.registry import connector, names_of_plugins, schemes
from streamproc.config.settings import (
    OWN_KEYS,
    EndSettings,
    ObserverSettings,
    Settings,
    SourceSettings,
    StageSettings,
    all_sources,
    struct_for,
)
from streamproc.config.specs import apply_set, name_of, overlay, with_default_names
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.errors import ConfigError
from streamproc.nearest import nearest, nearest_file
from streamproc.policies.concurrency import Concurrency
from streamproc.secrets import HIDDEN, hide
from streamproc.types import JsonValue, Kind, Table
from streamproc.units import decode_hook

_FOR_STAGES = ("retries", "rate", "cache")  # of the command line: no settings of their own
_SECRETS = ("monitor.token",)  # what is no text is no secret that is known yet
_SHORTCUTS = ("timeout", *_FOR_STAGES)


def read_file(path: str) -> Table:
    """The tables of a pipeline file; its SPECs know where it is. Raises `ConfigError`."""
    import tomllib

    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
        table: Table = locate(tomllib.loads(text), os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}{nearest_file(path)}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return table


def resolve(
    table: Table,
    overrides: Mapping[str, object] | None = None,
    sets: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    try_stage: Callable[[StageSettings], Iterable[str]] | None = None,
) -> Settings:
    """The settings that `table` and what is laid over it mean.

    `overrides` are settings by name; its `timeout`, `retries`, `rate` and `cache` go to every
    stage. `${VAR}` is filled from `environment`. Raises `ConfigError` with every problem that
    was found; `try_stage` looks for more in the stages that can be read, if there is one.
    """
    problems: list[str] = []
    merged = merge(table, overrides or {}, sets, problems)
    variables = os.environ if environment is None else environment
    for secret in literal_secrets(merged):
        hide(secret)
    expanded = expand(merged, variables, "", problems)
    settings = convert(Settings, expanded, "", problems)
    problems += contradictions(expanded)
    if problems:
        if try_stage is not None:
            problems += _tried(expanded.get("stage"), problems, try_stage)
        raise ConfigError(*dict.fromkeys(problems))
    assert isinstance(settings, Settings)
    return _with_room(settings, is_flag="concurrency" in (overrides or {}))


def _tried(
    stages: object, known: Sequence[str], try_stage: Callable[[StageSettings], Iterable[str]]
) -> list[str]:
    """What else is wrong with `stages`, keys of which something is known already left out."""
    found = []
    kinds = own_kinds()
    for i, table in enumerate(stages if isinstance(stages, list | tuple) else ()):
        where = f"stage[{i}]"
        if not isinstance(table, dict) or any(each.startswith(f"{where}: ") for each in known):
            continue
        wrong = {
            key for key in table
            if any(each.startswith((f"{where}.{key}:", f"{where}.{key}.", f"{where}.{key}["))
                   for each in known)
        }  # fmt: skip
        readable = {key: value for key, value in table.items() if key not in wrong}
        beside = {key for name, kind in kinds.items() if name in table for key in kind.beside}
        if wrong.isdisjoint(kinds.keys() | beside):
            stage = convert(StageSettings, readable, where, [])
            found += [f"{where}: {problem}" for problem in try_stage(stage)] if stage else []
    return found


def _with_room(settings: Settings, *, is_flag: bool) -> Settings:
    """As many records at once as the busiest stage may have calls; a flag is not overruled."""
    stages = list(all_sources(settings.stage))
    wanted = [getattr(Concurrency.of(stage.concurrency), "max", 0) for stage in stages]
    most = max(wanted)
    if most <= settings.concurrency:
        return settings
    if is_flag:
        name = stages[wanted.index(most)].name
        raise ConfigError(
            f"concurrency: {settings.concurrency} is less than the {most} of stage {name}; raise "
            "it (-j), or leave it out"
        )
    return msgspec.structs.replace(settings, concurrency=most)


def merge(
    table: Table, overrides: Mapping[str, object], sets: Iterable[str], problems: list[str]
) -> Table:
    """One table of all layers, `${VAR}` not filled in yet."""
    shortcuts = {name: overrides[name] for name in _SHORTCUTS if name in overrides}
    merged = {**table, **{k: v for k, v in overrides.items() if k not in _FOR_STAGES}}
    if merged.get("dead_letter") is not None and "on_error" not in merged:
        merged["on_error"] = "dead-letter"  # who names a file for them wants them there
    stages = merged.get("stage", [{"builtin": "leads"}])
    if isinstance(stages, list | tuple):
        stages = with_default_names(list(stages))
        stages = [overlay(s, shortcuts) if isinstance(s, dict) else s for s in stages]
        observers = merged.get("observers", {})
        tables = {"observers": dict(observers)} if isinstance(observers, dict) else {}
        problems += filter(None, [apply_set(stages, tables, setting) for setting in sets])
        merged |= {name: table for name, table in tables.items() if table}
    return merged | {"stage": stages}


def convert(kind: object, value: object, path: str, problems: list[str]) -> Any:  # a `kind`
    """`msgspec.convert`, field by field: msgspec stops at its first error.

    What is wrong is added to `problems`, each with its place below `path`.
    """
    if path == "stage" and isinstance(value, dict):
        problems.append("stage: a stage begins with [[stage]], in double brackets")
        return None
    struct = _struct_in(kind)
    if struct is not None:
        short = getattr(struct, "shorthand", None)
        if short is not None and not isinstance(value, dict | bool):
            value = {short: value}
        if isinstance(value, dict):
            return _convert_struct(struct, value, path, problems)
    items = _items_in(kind)
    if items is not None and isinstance(value, list | tuple):
        inner = typing.get_args(items)[0]
        return tuple(convert(inner, v, f"{path}[{i}]", problems) for i, v in enumerate(value))
    try:
        return msgspec.convert(value, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        if any(each.startswith(f"{path}: ") for each in problems):
            return None  # it lacks a variable
        shown = HIDDEN if path in _SECRETS else value
        problems.append(f"{path}: {reworded(str(error), shown, kind)}")
        return None


def _convert_struct(kind: Kind, value: Table, path: str, problems: list[str]) -> object:
    try:
        kind = struct_for(kind, value)
    except ConfigError as error:
        problems += [f"{path}.{problem}" for problem in error.problems]
        return None
    known = _known(kind)
    fields: dict[str, Any] = {}
    found = len(problems)
    for key, item in value.items():
        where = join(path, key)
        if key in known:
            fields[known[key].name] = convert(known[key].type, item, where, problems)
        else:
            problems.append(f"{where}: {_unknown(kind, key, known)}")
    missing = [each.name for key, each in known.items() if each.required and key not in value]
    problems += [f"{path}: {name} is missing" for name in missing]
    if len(problems) > found:
        return None
    try:
        return kind(**fields)
    except ValueError as error:
        problems.append(f"{path}: {error}")
        return None


@functools.cache  # annotations are text: to read those of a class takes milliseconds
def _known(kind: Kind) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a struct, by their names in a table."""
    return {each.encode_name: each for each in msgspec.structs.fields(kind)}


def _unknown(kind: Kind, key: str, known: Iterable[str]) -> str:
    """What is said of a key that is not one; one of the level above or below gets its place."""
    if issubclass(kind, ObserverSettings):
        return f"there is no such observer{_nearest(key, names_of_plugins('observers'))}"
    if not issubclass(kind, StageSettings | Settings) and _has(StageSettings, key):
        return f"belongs to the stage: write {key} = ... beside the table, as a key of [[stage]]"
    if issubclass(kind, StageSettings) and _has(HttpSettings, key):
        more = "" if key == "url" else f", {key} = ..."
        return f"belongs into the table http: http = {{ url = ...{more} }}"
    for name in _plugged(kind):
        if _has(recipes(kind)[name], key):
            return f"belongs into the table {name}: {name} = {{ {key} = ... }}"
    if kind is Settings and _has(StageSettings, key):
        return "belongs to a stage: write it under a line [[stage]]"
    if issubclass(kind, StageSettings) and _has(Settings, key):
        return "belongs to the top of the file: write it above the first [[stage]]"
    if issubclass(kind, EndSettings):
        if connector(key) is not None:
            return f"can be {of_other_side(is_source=issubclass(kind, SourceSettings))}"
        known = schemes()
    elif issubclass(kind, StageSettings):
        known = {*known, *names_of_plugins("stages", "policies")}
    return f"unknown key{_nearest(key, known)}"


def _plugged(kind: Kind) -> list[str]:
    """The names of plugins that are keys of this stage, if it is one."""
    if not issubclass(kind, StageSettings):
        return []
    return [name for name in kind.__struct_fields__ if name not in OWN_KEYS]


def _has(kind: object, key: str) -> bool:
    return key in _known(kind)


def _items_in(kind: object) -> Kind | None:
    """The tuple type in `kind`, None if there is none."""
    return next((each for each in _members(kind) if typing.get_origin(each) is tuple), None)


def _struct_in(kind: Kind) -> Kind:
    for each in _members(kind):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None


def _members(kind: Kind) -> typing.Iterator[Any]:  # types, as fields name them
    """Those of a union, and a type itself, without what they are annotated with."""
    for each in (kind, *typing.get_args(kind)):
        is_annotated = typing.get_origin(each) is typing.Annotated
        yield each.__origin__ if is_annotated else each


def reworded(message: str, value: JsonValue, kind: Kind) -> str:
    """What msgspec says, in our words and with the value."""
    message = message.partition(" - at `$")[0].replace("`", "")
    message = message[:1].lower() + message[1:]
    if "matching regex" in message and "A-Za-z_" in message:
        near = name_of(str(getattr(value, "written", value)))
        return f"a name has letters, digits, _ and -, got {value!r}: {near!r} is one"
    if "of length >= 1" in message and value == "":  # a variable that is not set
        return f"expected the name of a file, got {value!r}"
    known = _literals(kind)
    if message.startswith("invalid enum value") or (known and message.startswith("expected str")):
        near = nearest(str(value), known)
        return f"expected {_choices(kind)}, got {value!r}{near}"
    message = re.sub(r", got \w+$", "", message)
    for theirs, ours in (r" \| null\b", ""), (r"\bobject\b", "table"), (r"\barray\b", "list"):
        message = re.sub(theirs, ours, message)
    if isinstance(value, dict):
        return f"{message}, got a table"
    if type(value) is str and message.startswith("expected table"):
        # it may be a secret, of `auth` or `headers`; ${VAR} is shown
        return f"{message}, got a text"
    return f"{message}, got {value!r}"


def _choices(kind: object) -> str:
    known = _literals(kind)
    return f"one of {', '.join(known)}" if known else "a member of its enum"


def _literals(kind: Kind) -> list[str]:
    literals = [each for each in _members(kind) if typing.get_origin(each) is typing.Literal]
    return [str(value) for each in literals for value in typing.get_args(each)]


def _nearest(key: str, known: Iterable[str]) -> str:
    return nearest(key, known) or f"; known: {', '.join(sorted(known))}"
