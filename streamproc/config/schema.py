"""The shape of the pipeline file, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_type_hints

import msgspec

from streamproc.config.recipes import recipes
from streamproc.config.registry import connectors, observers, plugins
from streamproc.config.settings import (
    OWN_KEYS,
    EndSettings,
    Settings,
    SinkSettings,
    SourceSettings,
    end_settings,
)
from streamproc.interfaces import Policy, Recipe, StageKind
from streamproc.types import JsonObject
from streamproc.units import schema_hook


def pipeline_schema() -> JsonObject:
    """JSON Schema 2020-12 of a pipeline file."""
    schema = msgspec.json.schema(Settings, schema_hook=schema_hook)
    _add(schema["$defs"], "StageSettings", plugins(StageKind, OWN_KEYS) | plugins(Policy, OWN_KEYS))
    _add(schema["$defs"], "ObserverSettings", observers())
    for kind in (SourceSettings, SinkSettings):
        _add_ends(schema["$defs"], end_settings(kind, connectors()))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "streamproc pipeline file",
        **schema,
    }


def _add(known: JsonObject, table: str, found: Mapping[str, type[Recipe]]) -> None:
    """The recipes of plugins as keys of `table`."""
    refs, components = msgspec.json.schema_components(
        found.values(), schema_hook=schema_hook, ref_template="#/$defs/{name}"
    )
    for name, recipe, ref in zip(found, found.values(), refs, strict=True):
        known[table]["properties"][name] = _or_shorthand(recipe, ref)
    known |= components


def _add_ends(known: JsonObject, kind: type[EndSettings]) -> None:
    """A table for each scheme, of which there is one."""
    (_,), components = msgspec.json.schema_components(
        [kind], schema_hook=schema_hook, ref_template="#/$defs/{name}"
    )
    known |= components
    table = known[kind.__name__]
    for name, recipe in recipes(kind).items():
        table["properties"][name] = _or_shorthand(recipe, table["properties"][name]["anyOf"][0])
    table |= {"minProperties": 1, "maxProperties": 1}


def _or_shorthand(recipe: type[Recipe], ref: JsonObject) -> JsonObject:
    """A table, or a value that stands for one key of it."""
    if recipe.shorthand is None:
        return ref
    hints = get_type_hints(recipe, include_extras=True)
    short = msgspec.json.schema(hints[recipe.shorthand], schema_hook=schema_hook)
    return {"anyOf": [ref, short]}
