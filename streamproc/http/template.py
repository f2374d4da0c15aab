"""Text with `{field}` in it, filled from a record.

`{a.b}` is a path, `{{` and `}}` are braces. A template is parsed as it was written:
`${VAR}` is put in afterwards, and what was put in is never looked at again.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Self

from streamproc.codec import encode
from streamproc.errors import RecordError
from streamproc.paths import Path, path_of, value_of
from streamproc.types import Record

_PIECE = r"\{\{|\}\}|\$\{[A-Za-z_][A-Za-z0-9_]*\}|\{([^{}]*)\}|[{}]"

_MANY = 10**4000  # CPython refuses to write longer integers, codec does not
_MAX_DIGITS = 50_000  # writing more takes too long: the time grows with their square
_MAX_BITS = _MAX_DIGITS * 93_000 // 28_000  # a little less than what so many digits take


class MissingFieldError(RecordError):
    """A field that a template needs is missing, null or empty."""


class Template:
    """`parts` are literal texts (str) and paths of fields (tuple), in their order."""

    schema = {"type": "string"}  # noqa: RUF012 - read only

    def __init__(self, parts: list[str | Path], written: str) -> None:
        self.parts = parts
        self.written = written  # safe to show: with ${VAR}, without its value

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises ValueError: what was expected. `value.variables` are filled in for `${VAR}`."""
        if not isinstance(value, str):
            raise ValueError("expected a string")
        written = getattr(value, "written", str(value))
        variables = getattr(value, "variables", {})
        parts: list[str | Path] = []
        literal, at = "", 0
        for match in re.finditer(_PIECE, written):
            literal += written[at : match.start()]
            at = match.end()
            token = match[0]
            if token in ("{{", "}}"):
                literal += token[0]
            elif token[0] == "$":
                literal += variables.get(token[2:-1], token)
            elif match[1] is None:
                raise ValueError(f"expected {{field}}; a brace alone is written {token}{token}")
            else:
                try:
                    path = path_of(match[1].strip())
                except ValueError:
                    raise ValueError(f"expected a field such as {{a.b}}, got {token}") from None
                if literal:
                    parts.append(literal)
                parts.append(path)
                literal = ""
        literal += written[at:]
        if literal or not parts:
            parts.append(literal)
        return cls(parts, written)

    def __repr__(self) -> str:
        return self.written

    @property
    def is_literal(self) -> bool:
        """Whether it needs no field."""
        return all(isinstance(part, str) for part in self.parts)

    @property
    def paths(self) -> list[Path]:
        """Those of its fields."""
        return [part for part in self.parts if isinstance(part, tuple)]

    @property
    def literal(self) -> str:
        """The text, if it needs no field."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def field(self) -> Path | None:
        """The path, if the whole template is one field."""
        only = self.parts[0] if len(self.parts) == 1 else ""
        return only if isinstance(only, tuple) else None

    def fill(self, fields: Record) -> str:
        """The text. Raises `MissingFieldError`."""
        return "".join(
            [part if isinstance(part, str) else text_of(fields, part) for part in self.parts]
        )


def check_number(value: float, path: Path) -> None:
    """Raises `RecordError` for an integer that is too long to be written, and for infinity.

    As it stands in a record that is JSON: `1e400`.
    """
    if isinstance(value, int):
        if value.bit_length() <= _MAX_BITS:
            return
        what = f"an integer of more than {_MAX_DIGITS} digits"
    elif not isinf(value):
        return
    else:
        what = "a number greater than a double can be (1.8e308)"
    raise RecordError("bad_number", f"the field {'.'.join(path)} is {what}")


def text_of(fields: Record, path: Path) -> str:
    """The value at `path` as text; numbers are written as in JSON.

    Raises `MissingFieldError`, and `RecordError` for what is no text (`bad_number`: see above).
    """
    value = value_of(fields, path) if len(path) > 1 else fields.get(path[0])
    if type(value) is str and value:
        return value
    if type(value) is int and -_MANY < value < _MANY:
        return str(value)
    if value is None or value == "":
        raise MissingFieldError("missing_field", f"the field {'.'.join(path)} is missing or empty")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        check_number(value, path)
        return encode(value).decode()
    kind = "an object" if isinstance(value, dict) else "an array"
    raise RecordError(
        "missing_field", f"the field {'.'.join(path)} is {kind}, expected text or a number"
    )
