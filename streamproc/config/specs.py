"""`-e [NAME=]SPEC` and `--set STAGE.KEY=VALUE` → tables as in the pipeline file."""

from __future__ import annotations

import re
from typing import Any

from streamproc.errors import ConfigError, NotAvailableError

Table = dict[str, Any]

_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
BUILTINS = ("leads", "none")


def stage_of(spec: str) -> Table:
    """The stage that `-e spec` means. Raises `ConfigError`, `NotAvailableError`."""
    match = _NAMED.fullmatch(spec)
    table: Table = {"name": match[1]} if match else {}
    what = match[2] if match else spec
    if what in BUILTINS:
        return table | {"builtin": what}
    if what.startswith(("http://", "https://")):
        raise NotAvailableError(f"-e {spec}: http stages are not available in this version")
    if ":" in what:
        return table | {"python": what}
    raise ConfigError(
        f"-e {spec}: expected leads, none, module:function, file.py:function or an http(s) URL"
    )


def with_default_names(stages: list[Any]) -> list[Any]:
    """Stages without a name are called leads, none, or after their function."""
    used: set[str] = set()
    return [_named(stage, used) if isinstance(stage, dict) else stage for stage in stages]


def _named(stage: Table, used: set[str]) -> Table:
    if "name" in stage:
        used.add(str(stage["name"]))
        return dict(stage)
    called = str(stage.get("builtin") or stage.get("python", "stage")).rpartition(":")[2]
    called = unique = re.sub(r"[^A-Za-z0-9_-]", "_", called)
    count = 1
    while unique in used:
        count += 1
        unique = f"{called}-{count}"
    used.add(unique)
    into = "enrichment" if stage.get("builtin") == "leads" else "."
    return {"name": unique, "into": into} | stage


def apply_set(stages: list[Table], setting: str) -> str | None:
    """Apply one `--set`; returns the problem, if there is one."""
    path, equals, text = setting.partition("=")
    stage_name, dot, key = path.partition(".")
    if not equals or not dot or not key:
        return f"--set {setting}: expected STAGE.KEY=VALUE"
    for stage in stages:
        if isinstance(stage, dict) and stage.get("name") == stage_name:
            *folders, last = key.split(".")
            table = stage
            for folder in folders:
                table[folder] = dict(table.get(folder) or {})
                table = table[folder]
            table[last] = _value(text)
            return None
    known = ", ".join(str(stage.get("name")) for stage in stages if isinstance(stage, dict))
    return f"--set {setting}: there is no stage {stage_name!r}; the stages are: {known}"


def _value(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
