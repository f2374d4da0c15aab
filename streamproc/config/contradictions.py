"""What is wrong with settings although no single value is to blame.

Looks at tables, so that it is said whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamproc.config.registry import KINDS
from streamproc.config.settings import StageSettings, recipes, stage_settings
from streamproc.config.specs import Table
from streamproc.enrichers.conditions import expression
from streamproc.errors import ConfigError
from streamproc.interfaces import Policy, Recipe, StageKind

_ASKS = ("builtin", "python", "http", *KINDS, "all")
_OF_CALLS = ("fallback", "mark", "deadline")  # besides what is a policy


def contradictions(table: Table) -> Iterable[str]:
    """One line for each."""
    if table.get("on_error") == "dead-letter" and table.get("dead_letter") is None:
        yield 'on_error: "dead-letter" needs a dead_letter file (--dead-letter FILE)'
    for name, instead in (("output", "sink"), ("dead_letter", "dead_letter")):
        if str(table.get(name)).startswith("kafka://"):
            yield f"{name}: an address is for the command line; here it is a table, {instead}.kafka"
    yield from _of_exactly_once(table)
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
        policies = [name for name, recipe in known.items() if issubclass(recipe, Policy)]
        for key in (*policies, *_OF_CALLS):
            if key in stage:
                yield f"{where}.{key}: {what} has no such policy; http and python stages do"
    if "options" in stage and "python" not in stage:
        yield f"{where}.options: only a python stage has options"
    into = stage.get("into")
    if reshapes and into not in (None, "."):
        yield f"{where}.into: a {reshapes[0]} puts nothing into the record, it replaces it"
    if stage.get("name") == "_error" or str(into).split(".")[0] == "_error":
        yield f"{where}: the key _error is reserved"
    if isinstance(into, str) and into != "." and "" in into.split("."):
        yield f"{where}.into: expected a path such as a.b, got {into!r}"
    if stage.get("mark") and not stage.get("fallback"):
        yield f"{where}.mark: there is no fallback to tell from"
    if isinstance(stage.get("fallback"), list | tuple):
        for k, each in enumerate(stage["fallback"]):
            if isinstance(each, dict) and len({"http", "python", "value"} & each.keys()) != 1:
                yield f"{where}.fallback[{k}]: expected exactly one of http, python, value"
    for name, recipe in known.items():
        if name in stage:
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
            yield f"{where}.all[{i}]: a source is an http or python stage"
    yield from _of_stages(f"{where}.all", sources)


def _of_exactly_once(table: Table) -> Iterable[str]:
    source, sink = (_kafka(table.get(name)) for name in ("source", "sink"))
    if not sink.get("exactly_once"):
        return
    where = "sink.kafka.exactly_once"
    properties = source.get("properties")
    if not source.get("group"):
        yield f"{where}: the source has to be Kafka, with a group"
    elif source.get("brokers") != sink.get("brokers"):
        yield f"{where}: source and sink have to be the same cluster"
    if isinstance(properties, dict) and properties.get("isolation.level") == "read_uncommitted":
        yield f"{where}: isolation.level has to be read_committed"
    if table.get("ordered") is False:
        yield f"{where}: only in order, without --unordered"
    if isinstance(table.get("dead_letter"), str):
        yield f"{where}: dead letters have to go to a topic, too"


def _kafka(table: object) -> Table:
    inner = table.get("kafka") if isinstance(table, dict) else None
    return inner if isinstance(inner, dict) else {}
