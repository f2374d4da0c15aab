"""What is wrong with settings although no single value is to blame.

Looks at tables, so that it is said whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from streamproc.config.addresses import recipe_of, scheme_of
from streamproc.config.recipes import recipes
from streamproc.config.registry import connector
from streamproc.config.settings import StageSettings, stage_settings
from streamproc.enrichers.conditions import expression
from streamproc.errors import ConfigError
from streamproc.interfaces import Policy, Recipe, StageKind
from streamproc.paths import path_of
from streamproc.types import Table

Kinds = Mapping[str, type[StageKind]]


def contradictions(table: Table) -> Iterable[str]:
    """One line for each."""
    if table.get("output") is not None and table.get("sink") is not None:
        yield "output: there is a [sink] too; leave one of them out"
    if table.get("on_error") == "dead-letter" and table.get("dead_letter") is None:
        yield 'on_error: "dead-letter" needs a dead_letter file (--dead-letter FILE)'
    yield from _of_ends(table)
    stages = table.get("stage")
    if not isinstance(stages, list | tuple):
        return
    if not stages:
        yield 'stage: at least one is needed; builtin = "none" passes records on'
    yield from _of_stages("stage", stages)


def _of_stages(where: str, stages: Iterable[object]) -> Iterable[str]:
    names = set()
    for i, stage in enumerate(stages):
        if isinstance(stage, dict):
            yield from _of_stage(f"{where}[{i}]", stage)
            if (name := str(stage.get("name"))) in names:
                yield f"{where}[{i}].name: there is another stage {name!r}"
            names.add(name)


def _of_stage(where: str, stage: Table) -> Iterable[str]:
    known, is_whole = _recipes(stage)
    kinds = {name: recipe for name, recipe in known.items() if issubclass(recipe, StageKind)}
    if len(kinds.keys() & stage.keys()) != 1 and is_whole:
        yield f"{where}: expected exactly one of {', '.join(kinds)}"
    whats = [kind.what for name, kind in kinds.items()
             if name in stage and not kind.takes_policies]  # fmt: skip
    if whats:
        policies = [(name, *recipe.beside) for name, recipe in known.items()
                    if issubclass(recipe, Policy)]  # fmt: skip
        for key in chain.from_iterable(policies):
            if key in stage:
                yield f"{where}.{key}: {whats[0]} has no such policy; http and python stages do"
    into = stage.get("into")
    if stage.get("name") == "_error" or str(into).split(".")[0] == "_error":
        yield f"{where}: the key _error is reserved: take another name"
    if isinstance(into, str) and into != ".":
        try:
            path_of(into)
        except ValueError as error:
            yield f"{where}.into: {error}"
    for name, recipe in known.items():
        if not {name, *recipe.beside}.isdisjoint(stage):
            yield from (f"{where}.{problem}" for problem in recipe.contradictions(stage))
    yield from _of_expressions(where, stage, known)
    yield from _of_sources(where, stage, kinds)


def _recipes(stage: Table) -> tuple[Mapping[str, type[Recipe]], bool]:
    """What its keys may be, and whether that is known of all of them."""
    try:
        return recipes(stage_settings(stage)), True
    except ConfigError:  # a plugin that cannot be used is told where its table is read
        return recipes(StageSettings), False


def _of_expressions(where: str, stage: Table, known: Mapping[str, type[Recipe]]) -> Iterable[str]:
    """What is no JMESPath."""
    texts = {"when": stage.get("when")}
    for name, recipe in known.items():
        value = stage.get(name)
        if isinstance(value, dict):
            texts |= {f"{name}.{key}": value.get(key) for key in recipe.expressions}
        elif recipe.shorthand in recipe.expressions:
            texts[name] = value
    for key, text in texts.items():
        if not isinstance(text, str) or not all(getattr(text, "variables", {}).values()):
            continue  # what lacks a variable is told already
        try:
            expression(f"{where}.{key}", text)
        except ConfigError as error:
            yield from error.problems


def _of_sources(where: str, stage: Table, kinds: Kinds) -> Iterable[str]:
    sources = stage.get("all")
    if not isinstance(sources, list | tuple):
        return
    askless = {name for name, kind in kinds.items() if not kind.takes_policies}
    for i, source in enumerate(sources):
        if isinstance(source, dict) and askless & source.keys():
            yield f"{where}.all[{i}]: a source has to be an http or python stage"
    yield from _of_stages(f"{where}.all", sources)


def _of_ends(table: Table) -> Iterable[str]:
    for name, instead in (("output", "sink"), ("dead_letter", "dead_letter")):
        value = table.get(name)
        if isinstance(value, str) and (scheme := scheme_of(value)):
            yield (
                f"{name}: an address is for the command line; here it is a table, "
                f"{instead}.{scheme}"
            )
    for name in ("source", "sink"):
        for scheme in table[name] if isinstance(table.get(name), dict) else ():
            try:
                kind = connector(scheme)
            except ConfigError:  # a plugin that cannot be used is told where its table is read
                continue
            if kind is not None and (recipe := recipe_of(kind, is_source=name == "source")):
                yield from (f"{name}.{scheme}.{each}" for each in recipe.contradictions(table))
