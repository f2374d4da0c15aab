"""Trace Context of the W3C (https://www.w3.org/TR/trace-context/): who asked for a record."""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED = 0x01
_INVALID_VERSION = "ff"


class TraceContext(Struct, frozen=True):
    """A span elsewhere. `state` is what its `tracestate` said, to be passed on as it is."""

    trace_id: int
    span_id: int
    is_sampled: bool
    state: str = ""

    @classmethod
    def parse(cls, traceparent: object, tracestate: object = "") -> Self | None:
        """None for what is none: then a record has no parent."""
        found = _PARENT.fullmatch(traceparent.strip()) if isinstance(traceparent, str) else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        ids = int(trace_id, 16), int(span_id, 16)
        # what a later version adds is not for us
        if not all(ids) or version == _INVALID_VERSION or (version == "00" and more):
            return None
        is_state = isinstance(tracestate, str) and _STATE.fullmatch(tracestate)
        return cls(*ids, bool(int(flags, 16) & _SAMPLED), str(tracestate) if is_state else "")


def headers_of(trace_id: int, span_id: int, state: str) -> bytes:
    """What a request says that is made under this span, which is sampled."""
    lines = f"traceparent: 00-{trace_id:032x}-{span_id:016x}-01\r\n"
    return (f"{lines}tracestate: {state}\r\n" if state else lines).encode()
