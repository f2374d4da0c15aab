"""`-e [NAME=]SPEC` and `--set STAGE.KEY=VALUE` → tables as in the pipeline file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from streamproc.config.recipes import own_kinds, own_prefixes, recipes
from streamproc.config.registry import is_kind_of_plugin, names_of_plugins
from streamproc.config.settings import OWN_KEYS, observer_settings, stage_settings
from streamproc.enrichers.builtin import BUILTINS
from streamproc.errors import ConfigError
from streamproc.interfaces import Recipe
from streamproc.nearest import closest
from streamproc.types import JsonValue, Table

Recipes = Mapping[str, type[Recipe]]

_NAMED = r"(?s)([A-Za-z_][A-Za-z0-9_-]*)=(.*)"


def stage_of(spec: str) -> Table:
    """The stage that `-e spec` means. Raises `ConfigError`."""
    match = re.fullmatch(_NAMED, spec) if "=" in spec else None
    table: Table = {"name": match[1]} if match else {}
    what = match[2] if match else spec
    kind, colon, rest = what.partition(":")
    if what in BUILTINS:
        return table | {"builtin": what}
    if colon and (kind in own_prefixes() or is_kind_of_plugin(kind)):
        if not rest:
            raise ConfigError(f"-e {spec}: expected {kind}:TEXT")
        return table | {kind: rest}
    if what.startswith(("http://", "https://")):
        if not match:
            raise ConfigError(f"-e {spec}: an http stage needs a name: -e NAME={spec}")
        return table | {"http": {"url": what}}
    if kind and colon and not rest:
        raise ConfigError(f"-e {spec}: name the function of it, as {what}FUNCTION")
    _refuse_names(spec, what)
    _refuse_schemes(spec, what)
    _refuse_kinds(spec, kind, rest)
    if colon:
        return table | {"python": what}
    raise ConfigError(
        f"-e {spec}: expected {', '.join(BUILTINS)}, module:function, file.py:function, "
        f"{', '.join(f'{name}:EXPRESSION' for name in own_prefixes())} or NAME=https://..."
        f"{_near(what)}"
    )


def _refuse_names(spec: str, what: str) -> None:
    """A name before `=` that is none: what stands after it says that it was meant as one."""
    name, equals, meant = what.partition("=")
    is_spec = meant in BUILTINS or re.match(rf"(https?|{'|'.join(own_prefixes())}):", meant)
    is_spec = is_spec or re.fullmatch(r"[^=]*\.py:\w+", meant)
    if equals and is_spec and not {"/", ":"} & set(name):
        raise ConfigError(
            f"-e {spec}: a name has letters, digits, _ and -: "
            f"-e '{name_of(name)}={meant}' (into = \"a.b\" in a pipeline file puts it elsewhere)"
        )


def name_of(text: str) -> str:
    """A name of a stage that is nearly `text`."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "stage"
    return name if re.match("[A-Za-z_]", name) else f"_{name}"


def _refuse_schemes(spec: str, what: str) -> None:
    if slashes := re.match(r"(https?)//(?=\w)", what):
        raise ConfigError(f"-e {spec}: expected {slashes[1]}://{what[slashes.end() :]}")
    if re.match(r"(localhost|[\w-]+(\.[\w-]+)+)(:\d{1,5})?/(?!.*\.py:)", what):
        raise ConfigError(f"-e {spec}: expected an address such as https://{what}")
    if torn := re.match(r"(https?):/?(?!/)(?=\w[^:]*[./])(?!\w+$)", what):
        raise ConfigError(f"-e {spec}: expected {torn[1]}://{what[torn.end() :]}")
    if other := re.match(r"([a-z][a-z0-9+]*)://", what):
        raise ConfigError(
            f"-e {spec}: {other[1]}:// is no stage: call http:// or https://, or write "
            "it in Python (file.py:function)"
        )


def _refuse_kinds(spec: str, kind: str, rest: str) -> None:
    """A kind of stage that is not spelt right, and is no module either."""
    if not rest or not re.fullmatch(r"\w+", kind) or _is_module(kind):
        return
    if match := closest(kind, _prefixes(), 0.75):
        raise ConfigError(
            f"-e {spec}: there is no module and no kind of stage {kind!r}, did you mean "
            f"{match}:{rest}?"
        )


def _is_module(name: str) -> bool:
    return os.path.exists(f"{name}.py") or find_spec(name) is not None


def _prefixes() -> list[str]:
    """All that `-e KIND:` means, those of plugins last, for which there is a search."""
    return [*own_prefixes(), *names_of_plugins("stages")]


def _near(what: str) -> str:
    if what.endswith(".py"):
        return f"; which function of it? {what}:FUNCTION"
    match = closest(what, [*BUILTINS, *_prefixes()])
    return f"; did you mean {match if match in BUILTINS else f'{match}:TEXT'}?" if match else ""


def with_default_names(stages: list[object]) -> list[JsonValue]:
    """Stages without a name are called leads, none, or after their function."""
    used: set[str] = set()
    return [_named(stage, used) if isinstance(stage, dict) else stage for stage in stages]


def _named(stage: Table, used: set[str]) -> Table:
    if isinstance(stage.get("all"), list | tuple):
        stage = stage | {"all": with_default_names(list(stage["all"]))}
    if "name" in stage:
        used.add(str(stage["name"]))
        return dict(stage)
    called, into = _defaults(stage)
    called = unique = re.sub(r"[^A-Za-z0-9_-]", "_", called)
    count = 1
    while unique in used:
        count += 1
        unique = f"{called}-{count}"
    used.add(unique)
    return {"name": unique, "into": into} | stage


def _defaults(stage: Table) -> tuple[str, str]:
    """What it is called after, and where its result goes."""
    for key, kind in own_kinds().items():
        if stage.get(key) is not None:
            return kind.default_name(key, stage[key]), kind.default_into(stage[key])
    return next(filter(is_kind_of_plugin, stage.keys() - OWN_KEYS), "stage"), "."


def overlay(stage: Table, shortcuts: Table) -> Table:
    """`stage` with `--timeout`, `--retries`, `--rate` and `--cache`, as far as it can have them."""
    if isinstance(stage.get("all"), list | tuple):
        inner = [overlay(s, shortcuts) if isinstance(s, dict) else s for s in stage["all"]]
        return stage | {"all": inner}
    out = dict(stage)
    if "timeout" in shortcuts:
        out["timeout"] = shortcuts["timeout"]
    if any(key in stage and not kind.takes_policies for key, kind in own_kinds().items()):
        return out
    if "retries" in shortcuts:
        out["retry"] = _with(stage.get("retry"), "attempts", shortcuts["retries"] + 1)
    if "rate" in shortcuts:
        out["rate"] = _with(stage.get("rate"), "limit", shortcuts["rate"])
    if "cache" in shortcuts:
        out["cache"] = _with(stage.get("cache"), "ttl", shortcuts["cache"])
    return out


def _with(table: object, key: str, value: object) -> Table:
    return (table if isinstance(table, dict) else {}) | {key: value}


def apply_set(stages: list[Table], tables: dict[str, Table], setting: str) -> str | None:
    """Apply one `--set` to a stage, or to one of `tables`, if no stage is called so.

    Returns the problem, if there is one.
    """
    path, equals, text = setting.partition("=")
    stage_name, dot, key = path.partition(".")
    if not equals or not dot or not key:
        return f"--set {setting}: expected STAGE.KEY=VALUE"
    for stage in stages:
        if isinstance(stage, dict) and stage.get("name") == stage_name:
            _put(stage, key, _value(text), lambda keys: recipes(stage_settings(keys)))
            return None
    if (top := tables.get(stage_name)) is not None:
        _put(top, key, _value(text), lambda keys: recipes(observer_settings(tuple(keys))))
        return None
    known = ", ".join(str(stage.get("name")) for stage in stages if isinstance(stage, dict))
    return f"--set {setting}: there is no stage {stage_name!r}; the stages are: {known}"


def _put(table: Table, key: str, value: object, known: Callable[[Table], Recipes]) -> None:
    """`known`: the recipes among the keys of `table`, which are looked for only if need be."""
    *folders, last = key.split(".")
    inner = table
    for folder in folders:
        inner[folder] = _opened(folder, inner.get(folder), lambda: known(table))
        inner = inner[folder]
    inner[last] = value


def _opened(name: str, value: object, known: Callable[[], Recipes]) -> Table:
    """A table to set a key of; a value that stands for one of its keys stays that."""
    if isinstance(value, dict):
        return dict(value)
    recipe = known().get(name)
    if recipe is None or recipe.shorthand is None or value in (None, True, False):
        return {}
    return {recipe.shorthand: value}


def _value(text: str) -> JsonValue:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
