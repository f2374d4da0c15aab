"""A place in a record, written `a.b`: in templates, `into`, `trace_field`. JMESPath is more."""

from __future__ import annotations

from streamproc.types import JsonValue, Record

Path = tuple[str, ...]
"""Names of members, from the outside in; () is the whole record."""


def path_of(text: str) -> Path:
    """What `text` means. Raises ValueError for an empty name in it."""
    path = tuple(text.split("."))
    if "" in path:
        raise ValueError(f"expected a path such as a.b, got {text!r}")
    return path


def value_of(fields: Record, path: Path) -> JsonValue:
    """The value at `path`, None if there is none. A number steps into a list."""
    value: JsonValue = fields
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
