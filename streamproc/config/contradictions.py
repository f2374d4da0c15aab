"""What is wrong with settings although no single value is to blame.

Looks at tables, so that it is said whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from streamproc.config.addresses import recipe_of, scheme_of
from streamproc.config.registry import KINDS, connector
from streamproc.config.settings import StageSettings, recipes, stage_settings
from streamproc.config.specs import Table
from streamproc.enrichers.conditions import expression
from streamproc.errors import ConfigError
from streamproc.interfaces import Policy, Recipe, StageKind

_ASKS = ("builtin", "python", "http", *KINDS, "all")


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
    known = _recipes(stage)
    kinds = [name for name, recipe in known.items() if issubclass(recipe, StageKind)]
    asks = [key for key in (*_ASKS, *kinds) if key in stage]
    if len(asks) != 1:
        yield f"{where}: expected exactly one of {', '.join((*_ASKS, *kinds))}"
    if "country" in stage and stage.get("builtin") != "leads":
        yield f"{where}.country: only the builtin leads has a country"
    reshapes = [key for key in KINDS if key in stage]
    if "builtin" in stage or "all" in stage or reshapes:
        what = f"a {reshapes[0]}" if reshapes else "a builtin stage"
        what = "a stage with several sources" if "all" in stage else what
        policies = [(name, *recipe.beside) for name, recipe in known.items()
                    if issubclass(recipe, Policy)]  # fmt: skip
        for key in chain.from_iterable(policies):
            if key in stage:
                yield f"{where}.{key}: {what} has no such policy; http and python stages do"
    if stage.get("request_id"):
        if not isinstance(http := stage.get("http"), dict):
            yield f"{where}.request_id: only an http stage sends it"
        elif "x-request-id" in {str(name).lower() for name in http.get("headers") or ()}:
            yield f"{where}.request_id: there is a header X-Request-Id already: leave one out"
        elif "batch" in stage:
            yield f"{where}.request_id: a batch is one request for many records: leave one out"
    if "options" in stage and "python" not in stage:
        yield f"{where}.options: only a python stage has options: leave them out"
    into = stage.get("into")
    if reshapes and into not in (None, "."):
        yield f"{where}.into: a {reshapes[0]} replaces the record: leave into out"
    if stage.get("name") == "_error" or str(into).split(".")[0] == "_error":
        yield f"{where}: the key _error is reserved: take another name"
    if isinstance(into, str) and into != "." and "" in into.split("."):
        yield f"{where}.into: expected a path such as a.b, got {into!r}"
    for name, recipe in known.items():
        if not {name, *recipe.beside}.isdisjoint(stage):
            yield from (f"{where}.{problem}" for problem in recipe.contradictions(stage))
    yield from _of_expressions(where, stage, known)
    yield from _of_sources(where, stage)


def _recipes(stage: Table) -> Mapping[str, type[Recipe]]:
    try:
        return recipes(stage_settings(stage))
    except ConfigError:  # a plugin that cannot be used is told where its table is read
        return recipes(StageSettings)


def _of_expressions(where: str, stage: Table, known: Mapping[str, type[Recipe]]) -> Iterable[str]:
    """What is no JMESPath."""
    texts = {key: stage.get(key) for key in ("when", *KINDS)}
    places = [(name, key) for name, recipe in known.items() for key in recipe.expressions]
    for table, key in (("http", "select"), *places):
        if isinstance(inner := stage.get(table), dict):
            texts[f"{table}.{key}"] = inner.get(key)
    for key, text in texts.items():
        if not isinstance(text, str) or not all(getattr(text, "variables", {}).values()):
            continue  # what lacks a variable is told already
        try:
            expression(f"{where}.{key}", text)
        except ConfigError as error:
            yield from error.problems


def _of_sources(where: str, stage: Table) -> Iterable[str]:
    sources = stage.get("all")
    if not isinstance(sources, list | tuple):
        return
    if not sources:
        yield f"{where}.all: at least one source is needed"
    for i, source in enumerate(sources):
        if isinstance(source, dict) and {"all", "builtin", *KINDS} & source.keys():
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
