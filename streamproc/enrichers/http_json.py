"""The `json` of an http stage: filled from a record, and written."""

from __future__ import annotations

from collections.abc import Callable

from streamproc.codec import encode, is_infinite_in
from streamproc.errors import RecordError
from streamproc.http.template import Template, check_number
from streamproc.paths import Path, value_of
from streamproc.types import JsonValue, Record


def compiled(template: object) -> Callable[[Record], object]:
    """`json` as a function of the record. A string that is one whole `{field}` keeps its type."""
    if isinstance(template, dict):
        members = [(name, compiled(value)) for name, value in template.items()]
        return lambda fields: {name: fill(fields) for name, fill in members}
    if isinstance(template, list | tuple):
        items = [compiled(value) for value in template]
        return lambda fields: [fill(fields) for fill in items]
    if not isinstance(template, str):
        return lambda fields: template
    parsed = Template.parse(template)
    path = parsed.field
    if path is not None:
        return lambda fields: _checked(value_of(fields, path), path)
    if parsed.is_literal:
        return lambda fields: parsed.literal
    return parsed.fill


def fields_of(template: object) -> list[Path]:
    """The fields in `json`."""
    if isinstance(template, dict):
        template = list(template.values())
    if isinstance(template, list | tuple):
        return [path for each in template for path in fields_of(each)]
    return Template.parse(template).paths if isinstance(template, str) else []


def written(item: object) -> bytes:
    """What was filled in. Raises `RecordError` for what JSON cannot say, or no record may hold."""
    try:
        return encode(item)
    except ValueError as error:
        if is_infinite_in(item):
            message = "json: a number is greater than a double can be (1.8e308)"
            raise RecordError("bad_number", message) from None
        raise RecordError("too_deep", f"json: {error}") from None


def _checked(value: JsonValue, path: Path) -> JsonValue:
    if type(value) is int or type(value) is float:
        check_number(value, path)
    return value
