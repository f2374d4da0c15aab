"""The observers of one run: opened with it, told what they listen to, and never in its way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from streamproc.errors import ConfigError, CreateError, StreamprocError, described
from streamproc.interfaces import HEARD_BY, Follow, Observer, ObserverKind
from streamproc.telemetry.followers import GuardedFollow, together

log = logging.getLogger("streamproc")

Hear = Callable[[Any], None]
"""Takes events of the one type that it is asked for."""


class Observers:
    """The audience of a run, made of `recipes` by name; entering it opens them."""

    def __init__(self, recipes: Mapping[str, ObserverKind]) -> None:
        self._recipes = dict(recipes)
        self._hear: dict[type[Struct], dict[str, Hear]] = {}
        self._stack = AsyncExitStack()
        self.wanted: frozenset[type[Struct]] = frozenset()  # see `Audience`
        self._follows: dict[str, GuardedFollow] = {}
        self.follow: Follow | None = None

    def add(self, name: str, recipe: ObserverKind) -> None:
        """One more, or another one of this name, from the next run on."""
        self._recipes[name] = recipe

    async def __aenter__(self) -> Self:
        """Raises `CreateError`, `ConfigError`."""
        async with AsyncExitStack() as stack:
            for name, recipe in self._recipes.items():
                self.join(name, await _entered(name, recipe, stack))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hear.clear()
        self._follows.clear()
        self.wanted, self.follow = frozenset(), None
        await self._stack.__aexit__(None, None, None)

    def tell(self, event: Struct) -> None:
        """See `Audience`."""
        for name, hear in list(self._hear.get(type(event), {}).items()):
            try:
                hear(event)
            except Exception as error:
                self._failed(name, error)

    def join(self, name: str, observer: Observer) -> None:
        """It listens as well, under a name that messages call it by."""
        for event, method in HEARD_BY.items():
            if observer.wanted is not None and event not in observer.wanted:
                continue
            if getattr(type(observer), method) is not getattr(Observer, method):
                self._hear.setdefault(event, {})[name] = getattr(observer, method)
        self.wanted = frozenset(self._hear)
        if type(observer).follow is not Observer.follow:
            self._follows[name] = GuardedFollow(observer, partial(self._failed, name))
            self.follow = together(list(self._follows.values()))

    def _failed(self, name: str, error: Exception) -> None:
        log.warning(
            "observers.%s failed, and hears no more: %s", name, described(error),
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )  # fmt: skip
        self._forget(name)

    def _forget(self, name: str) -> None:
        if name in self._follows:
            self._follows[name].stop()
        for event in list(self._hear):
            self._hear[event].pop(name, None)
            if not self._hear[event]:
                del self._hear[event]
        self.wanted = frozenset(self._hear)


async def _entered(name: str, recipe: ObserverKind, stack: AsyncExitStack) -> Observer:
    """The observer, entered if it is a context manager, async or not."""
    where = f"observers.{name}"
    try:
        observer: Any = recipe.opened()
        is_async = hasattr(observer, "__aenter__")
        if is_async or hasattr(observer, "__enter__"):
            await observer.__aenter__() if is_async else observer.__enter__()
            stack.push_async_callback(_left, where, observer)
    except StreamprocError:
        raise
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error
        raise CreateError(f"{where}: {why}") from error
    except Exception as error:
        raise ConfigError(f"{where} cannot be opened: {described(error)}") from error
    if not isinstance(observer, Observer):
        got = type(observer).__name__
        raise ConfigError(f"{where}: its recipe opened {got}, which is no Observer")
    return observer


async def _left(where: str, observer: Any) -> None:  # a context manager, async or not
    try:
        if hasattr(observer, "__aexit__"):
            await observer.__aexit__(None, None, None)
        else:
            observer.__exit__(None, None, None)
    except Exception as error:  # the run is over, and its account stands
        log.warning("%s could not be closed: %s", where, described(error))
