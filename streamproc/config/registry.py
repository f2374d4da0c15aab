"""Components by name: those of the house, imported on first use, and those of plugins.

A plugin is a distribution that names a recipe as an entry point of one of `GROUPS`. Looking for
them costs 10 ms and more, so that it is done for names that the house does not have, and where
all are shown.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, TypeVar, cast

from streamproc.errors import ConfigError
from streamproc.interfaces import Connector, ObserverKind, Policy, Recipe, StageKind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_CONNECTORS = {"kafka": "streamproc.kafka.settings:Kafka"}
SCHEMES = tuple(_CONNECTORS)
"""Of addresses, and the names of tables in `[source]`, `[sink]` and `[dead_letter]`."""

GROUPS: dict[str, type[Recipe]] = {"streamproc.stages": StageKind, "streamproc.policies": Policy}
"""What the entry points of a group are, if they are keys of a stage."""

_OURS = "streamproc."

OBSERVERS = ("progress", "summary")
"""Observers of the house, which have settings of their own."""

_OF_OBSERVERS = "streamproc.observers"
_OF_CONNECTORS = "streamproc.connectors"
_KIND_OF: dict[str, type] = {
    **GROUPS, _OF_OBSERVERS: ObserverKind, _OF_CONNECTORS: Connector
}  # fmt: skip

R = TypeVar("R", bound=Recipe)


def connector(scheme: str) -> type[Connector] | None:
    """What addresses of a scheme mean; None if nobody knows it. Raises `ConfigError`."""
    if scheme in _CONNECTORS:
        return cast("type[Connector]", _named(_CONNECTORS[scheme]))
    found = _only([each for each in _entry_points(_OF_CONNECTORS) if each.name == scheme])
    return _loaded(found) if found else None


def connectors() -> dict[str, type[Connector]]:
    """All of them, those of plugins last. Raises `ConfigError`."""
    names = _names(_OF_CONNECTORS, frozenset(SCHEMES))
    return {name: each for name in (*SCHEMES, *names) if (each := connector(name))}


def plugin(name: str) -> type[Recipe] | None:
    """The recipe that a plugin calls `name`, None if there is none. Raises `ConfigError`."""
    found = [each for group in GROUPS for each in _entry_points(group) if each.name == name]
    return _loaded(only) if (only := _only(found)) else None


def observer(name: str) -> type[ObserverKind] | None:
    """The recipe behind `[observers.NAME]`, None if there is none. Raises `ConfigError`."""
    found = _only([each for each in _entry_points(_OF_OBSERVERS) if each.name == name])
    return cast("type[ObserverKind]", _loaded(found)) if found else None


def observers() -> dict[str, type[ObserverKind]]:
    """All of them. Raises `ConfigError`."""
    names = _names(_OF_OBSERVERS, frozenset(OBSERVERS))
    return {name: each for name in names if (each := observer(name))}


def is_kind_of_plugin(name: str) -> bool:
    """Whether `-e NAME:TEXT` means a plugin's kind of stage; a module of that name comes first."""
    if not name.isidentifier() or PathFinder.find_spec(name, ["", *sys.path]) is not None:
        return False
    return any(each.name == name for each in _entry_points("streamproc.stages"))


def plugins(of: type[R], taken: frozenset[str]) -> dict[str, type[R]]:
    """All recipes of plugins that are `of` that kind. Raises `ConfigError`.

    `taken`: names that the house has.
    """
    group = next(group for group, each in GROUPS.items() if each is of)
    return {name: cast("type[R]", plugin(name)) for name in _names(group, taken)}


def _names(group: str, taken: frozenset[str]) -> list[str]:
    names = sorted({each.name for each in _entry_points(group)})
    for name in names:
        if name in taken:
            raise ConfigError(f"{name}: a plugin takes a name that exists already: uninstall it")
    return names


def _only(found: list[EntryPoint]) -> EntryPoint | None:
    if len(found) > 1:
        homes = " and ".join(sorted({each.dist.name for each in found if each.dist}))
        raise ConfigError(f"{found[0].name}: there are two of that name, of {homes}: uninstall one")
    return found[0] if found else None


def installed() -> dict[str, list[str]]:
    """The names of all plugins, by what they are: stages, policies, ... They are not imported."""
    from importlib.metadata import entry_points

    found = entry_points()
    groups = sorted(group for group in found.groups if group.startswith(_OURS))
    return {group.removeprefix(_OURS): sorted(found.select(group=group).names) for group in groups}


@cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


@cache
def _loaded(entry_point: EntryPoint) -> type[Any]:  # of the class that its group stands for
    kind = _KIND_OF[entry_point.group]
    where = f"{entry_point.name}: the plugin {entry_point.value}"
    try:
        recipe = entry_point.load()
    except Exception as error:
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(recipe, type) and issubclass(recipe, kind)):
        raise ConfigError(f"{where} is no {kind.__name__} (streamproc.interfaces)")
    return recipe


def _named(place: str) -> type[Any]:  # what the tables above promise of it
    module, _, attribute = place.partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found
