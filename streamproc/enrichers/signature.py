"""Whether user code can be called as it will be, found out at the start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamproc.errors import ConfigError
from streamproc.nearest import closest
from streamproc.types import CallResult, Function, Record


def with_options(target: Function, options: Mapping[str, object]) -> Function:
    """`target` with `options` as keyword arguments: a class is created with them.

    Raises `ConfigError` if it does not take them, or not one record beside them.
    """
    if not inspect.isclass(target):
        _check(target, (None,), options)
        return partial(target, **options) if options else target
    name = target.__name__
    if not any("__call__" in vars(each) for each in target.__mro__):
        raise ConfigError(
            f"{name} has no __call__, so its objects cannot be called: write "
            f"def __call__(self, record) in it"
        )
    _check(target, (), options)
    return target


def check_takes_record(made: Function) -> None:
    """The same for an object that was created. Raises `ConfigError`."""
    _check(made, (None,), {})


def _check(target: Function, given: tuple[object, ...], options: Mapping[str, object]) -> None:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # some of C have none
        return
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        name = getattr(target, "__name__", type(target).__name__)
        shown = f"{name}{signature.replace(return_annotation=inspect.Signature.empty)}"
        how = "created with" if inspect.isclass(target) else "called with one record and"
        says = f"{shown} cannot be {how} {_said(options)}: {error}"
        raise ConfigError(f"{says}; {_advice(signature, options)}") from None


def _said(options: Mapping[str, object]) -> str:
    return f"the options {', '.join(options)}" if options else "no options"


def _advice(signature: inspect.Signature, options: Mapping[str, object]) -> str:
    takes = {name for name, each in signature.parameters.items() if each.kind not in _STARS}
    for name in options.keys() - takes:
        if match := closest(name, takes):
            return f"did you mean {match}?"
        return f"it takes {', '.join(sorted(takes)) or 'nothing'}"
    missing = [
        name
        for name, each in list(signature.parameters.items())
        if each.default is each.empty and each.kind not in _STARS and name not in options
    ]
    if not missing:
        return "it has to take the record: def f(record)"
    return f"give {missing[-1]} a default, or options = {{ {missing[-1]} = ... }}"


_STARS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def without_yield(target: Function, *, may_yield: bool) -> Function:
    """`target`, or for a generator function one that returns the list of what it yields.

    Raises `ConfigError` for one that is no transform.
    """
    called = target if inspect.isroutine(target) or isinstance(target, partial) else None
    called = called or getattr(target, "__call__")  # noqa: B004, B009 - it is inspected
    if inspect.isasyncgenfunction(called):

        async def gather(record: Record) -> list[CallResult]:
            return [each async for each in target(record)]

        gathered: Callable[..., Any] = gather
    elif inspect.isgeneratorfunction(called):

        def collect(record: Record) -> list[CallResult]:
            return list(target(record))

        gathered = collect
    else:
        return target
    if not may_yield:
        name = getattr(target, "__name__", type(target).__name__)
        raise ConfigError(
            f"{name} yields: mark it with @streamproc.transform to make a line of each, or return"
        )
    return gathered
