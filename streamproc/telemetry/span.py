"""Spans as they are collected, in no library's words."""

from __future__ import annotations

import time
from random import getrandbits
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

SpanKind = Literal["INTERNAL", "CLIENT", "CONSUMER"]


class SpanEvent(NamedTuple):
    """Something that happened, in `time_ns` of the wall clock."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


class SpanData(Struct):
    """Part of the work on a record. `parent_id`: of the span that it is a part of, 0 if of none.

    `is_failed`: nothing came of it.
    """

    name: str
    begun_ns: int
    parent_id: int = 0
    kind: SpanKind = "INTERNAL"
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[SpanEvent] = field(default_factory=list)
    ended_ns: int = 0
    is_failed: bool = False
    span_id: int = field(default_factory=lambda: getrandbits(64) or 1)

    def fail(self, kind: str) -> None:
        """It failed of that."""
        self.is_failed = True
        self.attributes["error.type"] = kind


class TraceData(Struct, frozen=True):
    """The spans of one record; the first one is of all the work on it."""

    trace_id: int
    state: str
    spans: list[SpanData]


def now_ns() -> int:
    """By the wall clock, which spans of several machines have in common."""
    return time.time_ns()
