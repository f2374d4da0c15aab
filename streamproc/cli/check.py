"""`streamproc check -c FILE`: says whether a pipeline file is good, and what it means."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

_VARIABLE = "${"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", required=True, metavar="FILE", help="Pipeline file (TOML).")
@click.option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE", help="As in run.")
@click.option("--online", is_flag=True, hidden=True)
def check(config: str, sets: tuple[str, ...], online: bool) -> int:
    """Validate a pipeline file, all of it, and print the resolved settings."""
    if online:
        raise click.UsageError("--online: not available in this version")

    import msgspec

    from streamproc.assembly import Pipeline
    from streamproc.config.load import merge, read_file, resolve

    sys.path.insert(0, os.getcwd())
    table = read_file(config)
    settings = resolve(table, {}, sets)
    Pipeline.from_settings(settings)  # imports what the stages name
    shown = msgspec.to_builtins(settings, enc_hook=_plain)
    written = merge(table, {}, sets, [])
    for line in _toml(_unfilled(shown, written)):
        click.echo(line)
    click.echo(f"{config}: ok", err=True)
    return 0


def _plain(value: Any) -> Any:
    """A subclass of str, int or float as what it is a subclass of; a template as it is written."""
    if hasattr(value, "written"):
        return value.written
    return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))


def _unfilled(value: Any, written: Any) -> Any:
    """`value` with `${VAR}` where the file has it: what the environment says stays secret."""
    if isinstance(written, str) and _VARIABLE in written:
        return written
    if isinstance(value, dict) and isinstance(written, dict):
        return {k: _unfilled(v, written.get(k)) for k, v in value.items()}
    if isinstance(value, list | tuple) and isinstance(written, list | tuple):
        return [_unfilled(v, w) for v, w in zip(value, written, strict=False)]
    return value


def _toml(settings: dict[str, Any]) -> list[str]:
    """The settings as TOML; what has no value is left out."""
    from streamproc.codec import encode

    def lines(table: dict[str, Any]) -> list[str]:
        return [f"{k} = {encode(v).decode()}" for k, v in table.items() if v is not None]

    stages = settings.pop("stage")
    out = lines(settings)
    for stage in stages:
        out += ["", "[[stage]]", *lines(stage)]
    return out
