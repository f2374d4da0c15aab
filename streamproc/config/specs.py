"""`-e [NAME=]SPEC` and `--set STAGE.KEY=VALUE` → tables as in the pipeline file."""

from __future__ import annotations

import re
import tomllib
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


def with_default_names(stages: list[Table]) -> list[Table]:
    """Stages without a name are called leads, none, or after their function."""
    used: set[str] = set()
    named = []
    for stage in stages:
        if not isinstance(stage, dict):
            named.append(stage)
            continue
        name = stage.get("name")
        if name is None and "into" not in stage and stage.get("builtin") == "leads":
            stage = {"into": "enrichment"} | stage
        if name is None and "into" not in stage:
            stage = {"into": "."} | stage
        name = name or str(stage.get("builtin") or stage.get("python", "stage")).rpartition(":")[2]
        name = re.sub(r"[^A-Za-z0-9_-]", "_", name) if "name" not in stage else name
        unique, count = name, 1
        while unique in used and "name" not in stage:
            count += 1
            unique = f"{name}-{count}"
        used.add(unique)
        named.append({"name": unique} | stage)
    return named


def apply_set(stages: list[Table], setting: str) -> str | None:
    """Apply one `--set`; returns the problem, if there is one."""
    path, equals, text = setting.partition("=")
    stage_name, dot, key = path.partition(".")
    if not equals or not dot or not key:
        return f"--set {setting}: expected STAGE.KEY=VALUE"
    for stage in stages:
        if isinstance(stage, dict) and stage.get("name") == stage_name:
            *folders, last = key.split(".")
            for folder in folders:
                stage[folder] = dict(stage.get(folder) or {})
                stage = stage[folder]
            stage[last] = _value(text)
            return None
    known = ", ".join(str(stage.get("name")) for stage in stages if isinstance(stage, dict))
    return f"--set {setting}: there is no stage {stage_name!r}; the stages are: {known}"


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
