"""Decorators that tell how a function wants to be called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct, structs

from streamproc.types import Function

F = TypeVar("F", bound=Function)

_ATTRIBUTE = "__streamproc__"


class Marks(Struct, frozen=True):
    """What the decorators said."""

    blocking: bool = False
    batch: int | None = None
    wait_s: float = 0.02
    replaces: bool = False


def enricher(
    *, blocking: bool = False, batch: int | None = None, wait_s: float = 0.02
) -> Callable[[F], F]:
    """Mark a function or class as a stage with wishes.

    `blocking=True` runs it in threads, as many as the concurrency. `batch=50` hands it
    lists of at most 50 records, gathered for `wait_s` seconds at most; it returns a list
    of results of the same length. Raises ValueError for a size below 1.
    """
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if wait_s < 0:
        raise ValueError(f"wait_s must not be negative, got {wait_s}")
    return lambda function: _mark(function, blocking=blocking, batch=batch, wait_s=wait_s)


def transform(function: F) -> F:
    """Mark a function whose return value replaces the record.

    A dict is the new record, None filters it out, a list of dicts fans it out to several
    lines. Members that are equal to those of the input keep their source bytes.
    """
    return _mark(function, replaces=True)


def marks(function: object) -> Marks:
    """What the decorators said of `function`; defaults where there was none."""
    return getattr(function, _ATTRIBUTE, None) or Marks()


def _mark(function: F, **wishes: object) -> F:
    setattr(function, _ATTRIBUTE, structs.replace(marks(function), **wishes))
    return function
