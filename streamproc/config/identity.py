"""What is done to the records: the part of the settings that the output depends on."""

from __future__ import annotations

from typing import Any

import msgspec

from streamproc.codec import encode
from streamproc.config.settings import Settings, recipes, stage_settings
from streamproc.interfaces import Policy

_CONNECTIONS = {"client", "tls", "max_body"}  # of an http table: what they look like


def identity(settings: Settings) -> str:
    """The same for settings that make the same of every record; what `${VAR}` is does not count.

    Where records come from and go is not in it: positions tell.
    """
    from hashlib import sha256

    stages = msgspec.to_builtins(settings.stage, enc_hook=plain)
    mode = "annotate" if settings.on_error == "stop" else settings.on_error
    matter: list[Any] = [[_of_stage(each) for each in stages], mode, settings.max_line_bytes]
    if settings.incoming_errors != "pass":
        matter.append(settings.incoming_errors)
    if settings.skip or settings.sample != 1.0:  # a limit may be raised, and the run goes on
        matter += [settings.skip, float(settings.sample), settings.sample_seed]
    return sha256(encode(matter)).hexdigest()


def plain(value: Any) -> Any:
    """A subclass of str, int or float as what it is a subclass of; a template as it is written."""
    if hasattr(value, "written"):
        return value.written
    return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))


def _of_stage(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage, or one of several sources. How it is done may be another way after a resume."""
    manner = {name for name, recipe in recipes(stage_settings(stage)).items()
              if issubclass(recipe, Policy) and recipe.is_manner}  # fmt: skip
    out = _of_answerer(_given(stage, manner | {"timeout", "request_id"}))
    for name, of_each in (("all", _of_stage), ("fallback", _of_answerer)):
        if name in out:
            out[name] = [of_each(each) for each in out[name]]
    return out


def _of_answerer(table: dict[str, Any]) -> dict[str, Any]:
    """A stage or a fallback. What other tables contain is compared whole."""
    out = _given(table, set())
    if "http" in out:
        out["http"] = _given(out["http"], _CONNECTIONS)
    return out


def _given(table: dict[str, Any], without: set[str]) -> dict[str, Any]:
    return {k: v for k, v in table.items() if k not in without and v is not None}
