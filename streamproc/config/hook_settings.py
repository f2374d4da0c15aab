"""The table `[[on]]`: what happens when something happens."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct

from streamproc.enrichers.http_settings import Method
from streamproc.http.template import Template
from streamproc.telemetry.hook_events import ALL, EVENTS, HookEvent


class HookHttp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request; `{field}` is a field of the event. Without `json` the body is the whole event."""

    url: Template
    method: Method = "POST"
    headers: dict[str, Template] = {}
    json: Any = UNSET


class HookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who hears of an `event`, of some or of all ("*"): exactly one of `python` and `http`."""

    event: HookEvent | Literal["*"] | tuple[HookEvent, ...]
    python: str | None = None
    http: HookHttp | None = None

    def __post_init__(self) -> None:
        if (self.python is None) == (self.http is None):
            raise ValueError("expected exactly one of python, http")
        if not self.event:
            raise ValueError("event: at least one is needed")


def events_of(names: str | tuple[str, ...]) -> frozenset[str]:
    """The events that are meant. Raises ValueError for a name that is none."""
    given = (names,) if isinstance(names, str) else tuple(names)
    if ALL in given:
        return frozenset(EVENTS)
    for name in given:
        if name not in EVENTS:
            raise ValueError(name)
    return frozenset(given)
