"""JMESPath expressions in settings: conditions and selections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamproc.errors import ConfigError


def expression(key: str, text: str | None) -> Callable[[Any], Any] | None:
    """The search that `text` means, None for no text. Raises `ConfigError` that names `key`."""
    if text is None:
        return None
    import jmespath

    try:
        search: Callable[[Any], Any] = jmespath.compile(text).search
    except jmespath.exceptions.JMESPathError as error:
        raise ConfigError(f"{key}: {' '.join(str(error).split())}") from error
    return search


def condition(key: str, text: str | None) -> Callable[[Any], bool] | None:
    """As `expression`, for what is only asked whether it is true."""
    search = expression(key, text)
    return None if search is None else lambda fields: is_true(search(fields))


def is_true(value: Any) -> bool:
    """JMESPath's sense: null, false and what is empty are false, 0 is true."""
    if isinstance(value, str | list | dict):
        return bool(value)
    return value is not None and value is not False
