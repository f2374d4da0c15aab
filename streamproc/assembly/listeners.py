"""Who hears of the runs of a pipeline: observers, hooks, subscribers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from streamproc.assembly.endpoints import Endpoints
from streamproc.config.settings import Settings
from streamproc.interfaces import ExportFailed, ObserverKind, RunObserver
from streamproc.telemetry.export_queue import say
from streamproc.telemetry.observers import Observers
from streamproc.types import EventHandler

if TYPE_CHECKING:
    from streamproc.telemetry.hook_line import Hook


class Listeners:
    """`observers` are those of all runs; hooks are among them from `begin` on."""

    def __init__(self, settings: Settings, *, with_hooks: bool) -> None:
        """Raises `ConfigError`. In workers and trials nobody calls hooks, nor traces here."""
        self.observers = Observers(_recipes(settings, say if with_hooks else None))
        self._hooks: list[Hook] = []
        if settings.on and with_hooks:
            from streamproc.assembly.hooks import hooks_of

            self._hooks += hooks_of(settings.on)
        self._watchers: list[object] = []

    def subscribe(self, handler: EventHandler, events: Sequence[str]) -> None:
        """Raises `ConfigError` for an event that there is not."""
        from streamproc.assembly.hooks import subscription

        self._hooks.append(subscription(handler, events))

    def begin(self, ends: Endpoints, run_id: str, chosen_id: str | None) -> RunObserver:
        """A run of that id: who tells of it. With one that was chosen the ids of records begin."""
        if self._hooks:
            from streamproc.telemetry.hooks import HooksKind

            self.observers.add("hooks", HooksKind(run_id=run_id, hooks=list(self._hooks)))
        observer = RunObserver(chosen_id or "", self.observers)
        self._watchers = ends.watch(observer)
        return observer


def followers_of(settings: Settings, tell: Callable[[ExportFailed], object]) -> Observers:
    """Those observers that follow records, for a worker; the others are its parent's.

    `tell` hears, in any thread, of what they cannot send.
    """
    found = _recipes(settings, tell)
    return Observers({name: each for name, each in found.items() if each.follows})


def _recipes(
    settings: Settings, tell: Callable[[ExportFailed], object] | None
) -> dict[str, ObserverKind]:
    """Those of plugins, and what `trace` means: nothing where nobody is told of it."""
    found = dict(settings.observers.recipes) if settings.observers else {}
    if settings.trace and tell is not None:
        from streamproc.assembly.tracing import trace_of

        if (trace := trace_of(settings, tell)) is not None:
            found["(trace)"] = trace
    return found
