"""Components by name: those of the house, imported on first use, and those of plugins.

A plugin is a distribution that names a recipe as an entry point of its group. Looking for
them costs 10 ms and more, so that it is done for names that the house does not have, and where
all are shown.
"""

from __future__ import annotations

import re
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

_OURS = "streamproc."
_OF_STAGES, _OF_POLICIES = "streamproc.stages", "streamproc.policies"
_OF_CONNECTORS, _OF_OBSERVERS = "streamproc.connectors", "streamproc.observers"

_KEYS_OF_STAGES: dict[str, type[Recipe]] = {_OF_STAGES: StageKind, _OF_POLICIES: Policy}
_KIND_OF: dict[str, type] = {
    **_KEYS_OF_STAGES, _OF_OBSERVERS: ObserverKind, _OF_CONNECTORS: Connector
}  # fmt: skip
"""What the entry points of a group are."""

OBSERVERS = ("progress", "summary")
"""Observers of the house, which have settings of their own."""

_NAME = "[a-z][a-z0-9_]*"  # a key of a table, a field of its struct, the scheme of addresses

R = TypeVar("R", bound=Recipe)


def connector(scheme: str) -> type[Connector] | None:
    """What addresses of a scheme mean; None if nobody knows it. Raises `ConfigError`."""
    if scheme in _CONNECTORS:
        return cast("type[Connector]", _named(_CONNECTORS[scheme]))
    found = _only(_called(scheme, _OF_CONNECTORS))
    return _loaded(found) if found else None


def connectors() -> dict[str, type[Connector]]:
    """All of them, those of plugins last. Raises `ConfigError`."""
    names = _names(frozenset(SCHEMES), _OF_CONNECTORS)
    return {name: each for name in (*SCHEMES, *names) if (each := connector(name))}


def schemes() -> list[str]:
    """The names of all of them; those of plugins, which are not imported, may be none."""
    return list(dict.fromkeys((*SCHEMES, *names_of_plugins("connectors"))))


def plugin(name: str) -> type[Recipe] | None:
    """The recipe that a plugin calls `name`, None if there is none. Raises `ConfigError`."""
    found = _only(_called(name, *_KEYS_OF_STAGES))
    return _loaded(found) if found else None


def observer(name: str) -> type[ObserverKind] | None:
    """The recipe behind `[observers.NAME]`, None if there is none. Raises `ConfigError`."""
    found = None if name in OBSERVERS else _only(_called(name, _OF_OBSERVERS))
    return cast("type[ObserverKind]", _loaded(found)) if found else None


def observers() -> dict[str, type[ObserverKind]]:
    """All of them. Raises `ConfigError`."""
    names = _names(frozenset(OBSERVERS), _OF_OBSERVERS)
    return {name: each for name in names if (each := observer(name))}


def is_kind_of_plugin(name: str) -> bool:
    """Whether `-e NAME:TEXT` means a plugin's kind of stage; a module of that name comes first."""
    if not name.isidentifier() or PathFinder.find_spec(name, ["", *sys.path]) is not None:
        return False
    return bool(_called(name, _OF_STAGES))


def plugins(of: type[R], taken: frozenset[str]) -> dict[str, type[R]]:
    """All recipes of plugins that are `of` that kind. Raises `ConfigError`.

    `taken`: names that the house has.
    """
    group = next(group for group, each in _KEYS_OF_STAGES.items() if each is of)
    return {name: cast("type[R]", plugin(name)) for name in _names(taken, group)}


def refuse_names(taken: frozenset[str]) -> None:
    """Raises `ConfigError` for plugins whose name is none, or somebody else's: none is imported.

    `taken`: keys of a stage that the house has.
    """
    _names(taken, *_KEYS_OF_STAGES)
    _names(frozenset(OBSERVERS), _OF_OBSERVERS)
    _names(frozenset(SCHEMES), _OF_CONNECTORS)


def _called(name: str, *groups: str) -> list[EntryPoint]:
    return [each for group in groups for each in _entry_points(group) if each.name == name]


def _names(taken: frozenset[str], *groups: str) -> list[str]:
    names = sorted({each.name for group in groups for each in _entry_points(group)})
    for name in names:
        _refuse_spelling(name)
        if name in taken:
            raise ConfigError(f"{name}: a plugin takes a name that exists already: uninstall it")
        _only(_called(name, *groups))
    return names


def _refuse_spelling(name: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"{name}: a plugin's name has small letters, digits and _: uninstall it")


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


def home_of(module: str) -> str | None:
    """The distribution of the plugin that a module belongs to, None if it belongs to none."""
    package = module.partition(".")[0]
    for group in _KIND_OF:
        for each in _entry_points(group):
            if each.module.partition(".")[0] == package and each.dist is not None:
                return each.dist.name
    return None


def names_of_plugins(*what: str) -> list[str]:
    """Those of `installed`, of all that is asked for."""
    found = installed()
    return [name for each in what for name in found.get(each, ())]


@cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


@cache
def _loaded(entry_point: EntryPoint) -> type[Any]:  # of the class that its group stands for
    _refuse_spelling(entry_point.name)
    kind = _KIND_OF[entry_point.group]
    where = f"{entry_point.name}: the plugin {entry_point.value}"
    try:
        recipe = entry_point.load()
    except Exception as error:
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(recipe, type) and issubclass(recipe, kind)):
        raise ConfigError(f"{where} is no {kind.__name__} (streamproc.interfaces)")
    if issubclass(recipe, Policy) and recipe.level == "start":
        raise ConfigError(f"{where}: its level is one of record, call and attempt")
    return recipe


def _named(place: str) -> type[Any]:  # what the tables above promise of it
    module, _, attribute = place.partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found
