"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class Seconds(float):
    """A duration: seconds, or "250ms", "5s", "2m", "1h"."""

    schema = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: Any) -> Seconds:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
            return cls(float(match[1]) * _SECONDS[match[2] or "s"])
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        raise ValueError('expected a duration such as 30, "250ms", "5s", "2m" or "1h"')


class ByteSize(int):
    """A size: bytes, or "64KiB", "16MiB", "1GB"."""

    schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: Any) -> ByteSize:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            unit = (match[2] or "").lower()
            base = 1024 if unit.endswith("i") else 1000
            size = int(float(match[1]) * base ** _POWERS.get(unit[:1], 0))
            if size >= 1:
                return cls(size)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return cls(value)
        raise ValueError('expected a size such as 65536, "64KiB" or "16MiB"')


def decode_hook(kind: type, value: Any) -> Any:
    """For `msgspec.convert`: the types of this file."""
    if issubclass(kind, Seconds | ByteSize):
        return kind.parse(value)
    raise NotImplementedError(kind)


def schema_hook(kind: type) -> dict[str, Any]:
    """For `msgspec.json.schema`: the types of this file."""
    if issubclass(kind, Seconds | ByteSize):
        return kind.schema | {"description": (kind.__doc__ or "").strip()}
    raise NotImplementedError(kind)
