"""`options = { ... }` of a Python stage: values of the types that the code is annotated with."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from streamproc.config.load import reworded
from streamproc.errors import ConfigError
from streamproc.types import Kind, Table


def typed_options(target: object, options: Mapping[str, object]) -> Table:
    """`options` as keyword arguments of `target`. Raises `ConfigError` with every wrong one."""
    if not options:
        return {}
    called = target.__init__ if inspect.isclass(target) else target
    if not inspect.isroutine(called):
        called = type(called).__call__
    try:
        hints = typing.get_type_hints(called, include_extras=True)
    except Exception:  # names that exist for type checkers only: then nothing is known
        hints = {}
    typed, problems = {}, []
    for name, value in options.items():
        try:
            typed[name] = msgspec.convert(value, hints.get(name, Any), dec_hook=_made)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            problems.append(f"options.{name}: {reworded(str(error), value, hints.get(name))}")
    if problems:
        raise ConfigError(*problems)
    return typed


def _made(kind: Kind, value: object) -> object:
    """Of a type that msgspec does not know: a Path, a class of the user's."""
    return kind(value)
