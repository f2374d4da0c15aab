"""The recipes in settings: what a stage does, and the policies around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import replace

from streamproc.config.settings import EndSettings, Settings, StageSettings, all_sources
from streamproc.interfaces import Policy, Recipe, StageKind

R = TypeVar("R", bound=Recipe)


@cache
def recipes(kind: type[Struct]) -> Mapping[str, type[Recipe]]:
    """The fields of a stage or of the observers that are recipes, and what they are."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for each in _parts(hint):
            if isinstance(each, type) and issubclass(each, Recipe):
                found[name] = each
    return found


def _parts(hint: Any) -> Iterator[Any]:  # types, as fields name them
    """A type, the members of a union, and what they are annotated with."""
    yield hint
    if get_origin(hint) in (Annotated, Union, UnionType):
        for each in get_args(hint):
            yield from _parts(each)


def policies_of(stage: StageSettings) -> dict[str, Policy]:
    """The policies that it has, those of its kind included, in the order of its fields."""
    found = {}
    for name, recipe in recipes(type(stage)).items():
        if issubclass(recipe, Policy):
            value = getattr(stage, name)
            is_default = value is None and any(getattr(stage, k) for k in recipe.default_of)
            if (policy := recipe.of(True if is_default else value)) is not None:
                found[name] = _with_beside(policy, stage)
    return found


def kind_of(stage: Struct) -> StageKind | None:
    """What it does, None where that is not known."""
    for name, recipe in recipes(type(stage)).items():
        if issubclass(recipe, StageKind) and (value := getattr(stage, name)) is not None:
            return _with_beside(recipe.of(value), stage)
    return None


def kinds_of(stage: StageSettings) -> Iterator[StageKind]:
    """What it does, and what those do who answer instead."""
    yield from filter(None, map(kind_of, (stage, *(stage.fallback or ()))))


def all_recipes(settings: Settings) -> Iterator[Recipe]:
    """What stages do, and whom they ask; their policies; ends, and observers."""
    for stage in all_sources(settings.stage):
        yield from kinds_of(stage)
        yield from policies_of(stage).values()
    for end in (settings.source, settings.sink, settings.dead_letter):
        if isinstance(end, EndSettings):
            yield end.recipe
    if settings.observers is not None:
        yield from settings.observers.recipes.values()


def _with_beside(recipe: R, stage: Struct) -> R:
    beside = {key: getattr(stage, key, None) for key in recipe.beside}
    given = {key: value for key, value in beside.items() if value is not None}
    return replace(recipe, **given) if given else recipe


def working_stages(settings: Settings) -> Iterator[StageSettings]:
    """Those that do something."""
    for stage in settings.stage:
        kind = kind_of(stage)
        if kind is None or not kind.does_nothing:
            yield stage


def own_kinds() -> dict[str, type[StageKind]]:
    """Those of the house, in the order of their keys."""
    known = recipes(StageSettings).items()
    return {name: recipe for name, recipe in known if issubclass(recipe, StageKind)}


def own_prefixes() -> tuple[str, ...]:
    """Those of them that `-e KIND:TEXT` means."""
    return tuple(name for name, kind in own_kinds().items() if kind.has_prefix)
