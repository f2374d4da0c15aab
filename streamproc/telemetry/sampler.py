"""Which records are traced: decided before anything is made for them.

In the words of the SDK (`OTEL_TRACES_SAMPLER`), whose own samplers come only after a span was
begun, which takes more time than all that is done here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import log, log1p
from random import getrandbits, random
from typing import Self

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.nearest import nearest
from streamproc.telemetry.trace_context import TraceContext

_RATIO = 0.01
_RATIO_BY = "traceidratio"
_BASED = "parentbased_"
_RATIOS = {"always_on": 1.0, "always_off": 0.0, _RATIO_BY: None}
_NAMES = [*_RATIOS, *(_BASED + name for name in _RATIOS)]
_LOW_END = 1 << 64  # the lower half of an id decides
_LOW_BITS = _LOW_END - 1


class Sampler(Struct, frozen=True):
    """Takes such a share of all traces, by their ids, so that whoever shares one decides alike.

    `asks_parent`: a record that has a parent is traced if that was.
    """

    ratio: float = _RATIO
    asks_parent: bool = True

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """As `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say. Raises `ConfigError`."""
        name = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower()
        if not name:
            return cls()
        if name not in _NAMES:
            hint = nearest(name, _NAMES) or f"; there are {', '.join(_NAMES)}"
            raise ConfigError(f"OTEL_TRACES_SAMPLER: there is no sampler {name}{hint}")
        ratio = _RATIOS[name.removeprefix(_BASED)]
        if ratio is None:
            ratio = _ratio(environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1.0")
        return cls(ratio, asks_parent=name.startswith(_BASED))

    def takes(self, parent: TraceContext) -> bool:
        """Whether a record with that parent is traced."""
        if self.asks_parent:
            return parent.is_sampled
        return parent.trace_id & _LOW_BITS < self.ratio * _LOW_END

    def gap(self) -> int:
        """How many records that have no parent are passed over before the next one is taken.

        Their number has a geometric distribution, as if one were drawn for each.
        """
        if self.ratio >= 1.0:
            return 0
        if self.ratio <= 0.0:
            return sys.maxsize
        return int(min(sys.maxsize, log(1.0 - random()) / log1p(-self.ratio)))

    def trace_id(self) -> int:
        """A new one of those that are taken. It is never 0."""
        return (getrandbits(64) or 1) << 64 | int(random() * self.ratio * _LOW_END)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got {text!r}")
    return ratio
