"""Defaults < pipeline file < environment < flags < `--set`, with every error at once."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streamproc.config.settings import (
    RESERVED_KEYS,
    RESERVED_STAGE_KEYS,
    Settings,
    StageSettings,
)
from streamproc.config.specs import Table, apply_set, with_default_names
from streamproc.units import decode_hook
from streamproc.errors import ConfigError, NotAvailableError

_RESERVED = "not available in this version"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_file(path: str) -> Table:
    """The tables of a pipeline file, as written. Raises `ConfigError`."""
    import tomllib

    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def resolve(
    table: Table,
    overrides: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings that `table` and what is laid over it mean.

    `overrides` are settings by name; its `timeout` goes to every stage. `${VAR}` is
    filled from `environment`. Raises `ConfigError` with every problem that was found.
    """
    problems: list[str] = []
    merged = merge(table, overrides or {}, sets, problems)
    variables = os.environ if environment is None else environment
    expanded = expand(merged, variables, "", problems)
    settings = _convert(Settings, expanded, "", problems)
    problems += _contradictions(expanded)
    if problems and all(problem.endswith(_RESERVED) for problem in problems):
        raise NotAvailableError("\n".join(problems))
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    assert isinstance(settings, Settings)
    return settings


def merge(
    table: Table, overrides: Mapping[str, Any], sets: Iterable[str], problems: list[str]
) -> Table:
    """One table of all layers, `${VAR}` not filled in yet."""
    merged = {**table, **overrides}
    stages = merged.get("stage", [{"builtin": "leads"}])
    if isinstance(stages, list | tuple):
        stages = with_default_names(list(stages))
        if "timeout" in overrides:
            stages = [s | {"timeout": overrides["timeout"]} for s in stages]
        problems += filter(None, [apply_set(stages, setting) for setting in sets])
    return merged | {"stage": stages}


def expand(value: Any, variables: Mapping[str, str], path: str, problems: list[str]) -> Any:
    """`${VAR}` in every string value of `value`; what is put in is not looked at again."""
    if isinstance(value, dict):
        return {k: expand(v, variables, _join(path, k), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, variables, f"{path}[{i}]", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        if match[1] not in variables:
            problems.append(f"{path}: the environment variable {match[1]} is not set")
        return variables.get(match[1], "")

    filled = _VARIABLE.sub(fill, value)
    return value if filled == value else _Filled(filled, value)


class _Filled(str):
    """A value from the environment; shown in errors as it was written, for it may be a secret."""

    written: str

    def __new__(cls, text: str, written: str) -> _Filled:
        self = super().__new__(cls, text)
        self.written = written
        return self

    def __repr__(self) -> str:
        return repr(self.written)


def _convert(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """`msgspec.convert`, field by field: msgspec stops at its first error."""
    struct = _struct_in(kind)
    if struct is not None and isinstance(value, dict):
        return _convert_struct(struct, value, path, problems)
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(kind)[0]
        return tuple(_convert(inner, v, f"{path}[{i}]", problems) for i, v in enumerate(value))
    try:
        return msgspec.convert(value, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        problems.append(f"{path}: {_reworded(str(error), value)}")
        return None


def _convert_struct(kind: Any, value: Table, path: str, problems: list[str]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    found = len(problems)
    for key, item in value.items():
        where = _join(path, key)
        if key in hints:
            fields[key] = _convert(hints[key], item, where, problems)
        elif key in (RESERVED_STAGE_KEYS if kind is StageSettings else RESERVED_KEYS):
            problems.append(f"{where}: {_RESERVED}")
        else:
            problems.append(f"{where}: unknown key{_nearest(key, hints)}")
    return kind(**fields) if len(problems) == found else None


def _struct_in(kind: Any) -> Any:
    for each in (kind, *typing.get_args(kind)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None


def _reworded(message: str, value: Any) -> str:
    message = message.partition(" - at `$")[0].replace("`", "")
    message = message[:1].lower() + message[1:]
    if message.startswith("invalid enum value"):
        return f"invalid enum value {value!r}"
    message = re.sub(r", got \w+$", "", message)
    return f"{message}, got {value!r}" if not isinstance(value, dict) else f"{message}, got a table"


def _contradictions(table: Table) -> Iterable[str]:
    """What no single value is to blame for. Looks at tables, so that it is said in any case."""
    if table.get("on_error") == "dead-letter" and table.get("dead_letter") is None:
        yield 'on_error: "dead-letter" needs a dead_letter file (--dead-letter FILE)'
    stages = table.get("stage")
    if not isinstance(stages, list | tuple):
        return
    if not stages:
        yield 'stage: at least one is needed; builtin = "none" passes records on'
    names = set()
    for i, stage in enumerate(stages):
        if isinstance(stage, dict):
            yield from _stage_contradictions(f"stage[{i}]", stage)
            if (name := str(stage.get("name"))) in names:
                yield f"stage[{i}].name: there is another stage {name!r}"
            names.add(name)


def _stage_contradictions(where: str, stage: Table) -> Iterable[str]:
    if ("builtin" in stage) == ("python" in stage) and not RESERVED_STAGE_KEYS & stage.keys():
        yield f"{where}: expected exactly one of builtin, python"
    if "country" in stage and stage.get("builtin") != "leads":
        yield f"{where}.country: only the builtin leads has a country"
    into = stage.get("into")
    if stage.get("name") == "_error" or str(into).split(".")[0] == "_error":
        yield f"{where}: the key _error is reserved"
    if isinstance(into, str) and into != "." and "" in into.split("."):
        yield f"{where}.into: expected a path such as a.b, got {into!r}"


def _nearest(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    match = get_close_matches(key, list(known), 1)
    return f", did you mean {match[0]}?" if match else f"; known: {', '.join(sorted(known))}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
