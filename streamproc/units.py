"""Durations, sizes and addresses as people write them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Self

from msgspec import Meta

from streamproc.types import JsonObject, JsonValue, Kind

_DURATION = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|sec|second|m|min|minute|h|hour))?"
_PERIODS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
_SIZE = r"(?i)(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?"
_SHARE = r"(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})\s*(%)?"
_ADDRESS = r"(?:(?:\[([\w:.%]+)\]|([^\s:/@\[\]]+)):)?(\d{1,5})"
_RUN_ID = r"[A-Za-z0-9._-]{1,64}"
FileName = Annotated[str, Meta(min_length=1)]  # none at all is a variable that is not set
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class Seconds(float):
    """A duration: seconds, or "250ms", "5s", "2m", "1h"."""

    schema = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := re.fullmatch(_DURATION, value.strip())):
            return cls(float(match[1]) * _SECONDS[match[2] or "s"])
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        raise ValueError('expected a duration such as 30, "250ms", "5s", "2m" or "1h"')


class PositiveSeconds(Seconds):
    """The same above 0: what may last no time at all cannot be done."""

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Raises ValueError: what was expected."""
        parsed = super().parse(value)
        if parsed <= 0.0:
            raise ValueError('expected a duration above 0 such as 30, "250ms", "5s", "2m" or "1h"')
        return parsed


class ByteSize(int):
    """A size: bytes, or "64KiB", "16MiB", "1GB"."""

    schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: object) -> ByteSize:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := re.fullmatch(_SIZE, value.strip())):
            unit = (match[2] or "").lower()
            base = 1024 if unit.endswith("i") else 1000
            size = int(float(match[1]) * base ** _POWERS.get(unit[:1], 0))
            if size >= 1:
                return cls(size)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return cls(value)
        raise ValueError('expected a size such as 65536, "64KiB" or "16MiB"')


class Rate(float):
    """Calls per second, as "100/s", "600/min" or a number; `period_s` is the unit's length."""

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}  # noqa: RUF012
    period_s: float
    written: str

    def __new__(cls, per_second: float, period_s: float = 1.0) -> Self:  # noqa: D102
        self = super().__new__(cls, per_second)
        self.period_s = period_s
        self.written = f"{per_second:g}/s"
        return self

    @classmethod
    def parse(cls, value: object) -> Rate:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := re.fullmatch(_RATE, value.strip())):
            period_s = _PERIODS[match[2][0]] if match[2] else 1.0
            if (limit := float(match[1])) > 0:
                self = cls(limit / period_s, period_s)
                self.written = value.strip()
                return self
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return cls(value)
        raise ValueError('expected a rate such as "100/s", "600/min" or 50')


class Sample(float):
    """Which records: every so many from 1 on, or a random share as 0.01 or "1%"."""

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}  # noqa: RUF012

    @classmethod
    def parse(cls, value: JsonValue) -> Sample:
        """Raises ValueError: what was expected."""
        if isinstance(value, str) and (match := re.fullmatch(_SHARE, value.strip())):
            value = float(match[1]) / 100 if match[2] else float(match[1])
            if match[2] and value >= 1:
                value = int(value == 1)  # 100% are all
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and (0 < value < 1 or (1 <= value < math.inf and value == int(value))):
            return cls(value)
        raise ValueError('expected a number such as 10 (every tenth), or a share as 0.01 or "1%"')


class Address(str):
    """Where to listen: HOST:PORT, or PORT, which is one of this machine only."""

    schema = {"anyOf": [{"type": "string"}, {"type": "integer"}]}  # noqa: RUF012
    host: str
    port: int

    @classmethod
    def parse(cls, value: object) -> Address:
        """Raises ValueError: what was expected."""
        match = None if isinstance(value, bool) else re.fullmatch(_ADDRESS, str(value).strip())
        if match is None or int(match[3]) > 65535:
            raise ValueError(
                "expected HOST:PORT such as 127.0.0.1:9464 (this machine only), 0.0.0.0:9464 (all "
                "that reach it) or [::1]:9464"
            )
        host, port = match[1] or match[2] or "127.0.0.1", int(match[3])
        return cls.of(host, port)

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """The address of `host` and `port`."""
        self = cls(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self.host, self.port = host, port
        return self


class RunId(str):
    """What a run is called: letters, digits, `.`, `_` and `-`, 64 at most."""

    schema = {"type": "string"}  # noqa: RUF012

    @classmethod
    def parse(cls, value: object) -> RunId:
        """Raises ValueError: what was expected."""
        if not isinstance(value, str) or not re.fullmatch(_RUN_ID, value):
            raise ValueError("expected letters, digits, '.', '_' and '-', 1 to 64 of them")
        return cls(value)


def decode_hook(kind: Kind, value: JsonValue) -> object:
    """For `msgspec.convert`: types that parse themselves, these and templates."""
    if hasattr(kind, "parse"):
        return kind.parse(value)
    raise NotImplementedError(kind)


def schema_hook(kind: Kind) -> JsonObject:
    """For `msgspec.json.schema`: types that know their schema."""
    if hasattr(kind, "schema"):
        schema: dict[str, Any] = kind.schema
        return schema | {"description": (kind.__doc__ or "").strip()}
    raise NotImplementedError(kind)
