"""`[[on]]` → handlers of events."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET

from streamproc.config.hook_settings import HookHttp, HookSettings, events_of
from streamproc.enrichers.function import load
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.errors import CallError, ConfigError
from streamproc.nearest import nearest
from streamproc.telemetry.hook_events import EVENTS, fields_of
from streamproc.telemetry.hook_line import Hook
from streamproc.types import EventHandler, JsonObject

_WHOLE = "{_}"  # a template of its own: the event itself


def hooks_of(settings: Iterable[HookSettings]) -> list[Hook]:
    """Those of a pipeline file. Raises `ConfigError` with every problem."""
    hooks, problems = [], []
    for i, each in enumerate(settings):
        events = events_of(each.event)
        try:
            if each.http is not None:
                handle: Any = _HttpHandler(each.http, f"on[{i}]", events)
                name = f"on[{i}]"
            else:
                handle, name = _of_one_event(load(each.python or "")), f"on[{i}] ({each.python})"
            hooks.append(Hook(name, events, handle))
        except ConfigError as error:
            key = "http" if each.http is not None else "python"
            problems += [f"on[{i}].{key}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)
    return hooks


def subscription(handler: EventHandler, events: Sequence[str]) -> Hook:
    """A function of Python code. Raises `ConfigError` for an event that there is not."""
    try:
        found = events_of(tuple([events] if isinstance(events, str) else events))
    except ValueError as error:
        near = nearest(str(error), EVENTS) or f"; there are {', '.join(EVENTS)}"
        raise ConfigError(f"events: there is no event {error}{near}") from None
    name = getattr(handler, "__name__", type(handler).__name__)
    return Hook(f"the subscriber {name}", found, _of_one_event(handler), in_run_loop=True)


def _of_one_event(handler: EventHandler) -> EventHandler:
    """The same. Raises `ConfigError` for one that would fail at each event, or do nothing."""
    name = getattr(handler, "__name__", type(handler).__name__)
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise ConfigError(f"{name}: calling it does nothing, for there is a yield in it")
    try:
        inspect.signature(handler).bind({})
    except TypeError as error:
        raise ConfigError(f"{name}: it is called with an event: {error}") from None
    except ValueError:  # of some builtins nothing is known
        pass
    return handler


class _HttpHandler:
    """Sends a request for each event; the answer is a status, whatever it says."""

    def __init__(self, settings: HookHttp, name: str, events: frozenset[str]) -> None:
        from streamproc.enrichers.http_request import RequestBuilder

        http = HttpSettings(
            url=settings.url,
            method=settings.method,
            headers=settings.headers,
            json=_WHOLE if settings.json is UNSET else settings.json,
            on_missing="fail",
        )
        try:
            self._builder = RequestBuilder(http, name)
        except ValueError as error:  # a template in json
            raise ConfigError(f"json: {error}") from None
        problems = [*self._builder.problems]
        if not problems:
            problems += _unknown_fields(self._builder.fields, events)
        if problems:
            raise ConfigError(*problems)

    async def __call__(self, event: JsonObject) -> None:
        """Raises `CallError`, `RecordError`."""
        from streamproc.enrichers.http import locate, refused
        from streamproc.http.choice import open_client
        from streamproc.http.contract import ClientOptions

        shown = {key: "none" if value is None else value for key, value in event.items()}
        call = self._builder.build(shown | {"_": event})
        assert call is not None  # nothing is skipped: a field that is missing is an error
        options = ClientOptions(connections=1, user_agent=self._builder.user_agent)
        client, _ = open_client("auto", options, self._builder.url.target)
        try:
            async with client:
                response = await client.send(call)
                if not 200 <= response.status < 300:
                    raise refused(call, response)
        except CallError as error:
            locate(error, call)
            raise


def _unknown_fields(paths: Iterable[tuple[str, ...]], events: frozenset[str]) -> Iterable[str]:
    """A field that one of the events does not have."""
    for path in paths:
        lacking = [name for name in EVENTS if name in events and path[0] not in fields_of(name)]
        if lacking and path != ("_",):
            known = set.intersection(*map(fields_of, events))
            near = nearest(path[0], known) or f"; there are {', '.join(sorted(known))}"
            yield f"{{{'.'.join(path)}}} is no field of the event {lacking[0]}{near}"
