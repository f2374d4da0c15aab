"""What no annotation can say closer, by name, each with the reason why it is `Any`.

A signature says one of these, or `object` where the value is only handed on or looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from msgspec import Meta

T = TypeVar("T")

JsonValue = Any
"""Any JSON. As a union each look into a record would be an isinstance or a cast: hot path."""

JsonObject = dict[str, JsonValue]
"""A JSON object that we make: an event, a report, the members of an `_error`."""

Record = dict[str, JsonValue]
"""A record: which members it has is its owner's affair."""

Table = dict[str, JsonValue]
"""A table of a pipeline file, before its kind has converted it."""

CallResult = Any
"""What a call returns: any JSON, `NO_RESULT`, a `FanOutResult`, or what a user's function made."""

Function = Callable[..., Any]
"""A user's function or class: what it takes is looked at when it is loaded."""

Position = Any
"""How far a source or a sink is: of a type of its own, which nobody else looks into."""

Offset = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""How many bytes or lines, as a file that is read back says it: no more than a file can have."""

Kind = Any
"""A type as a field names it, such as `int | None`: the language has no type for these."""

Foreign = Any
"""An object of a library that ships no types."""

EventHandler = Callable[[JsonObject], Any]
"""Called with events of a run; a coroutine that it returns is awaited."""

Coro = Coroutine[Any, Any, T]
"""A coroutine that returns `T`: what is sent into it is the event loop's affair."""
