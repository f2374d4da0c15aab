"""`streamproc check -c FILE`: says whether a pipeline file is good, and what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from streamproc.cli.command import streamproc_command
from streamproc.cli.leave import say
from streamproc.secrets import HIDDEN
from streamproc.shown import as_json, one_line
from streamproc.types import JsonValue

if TYPE_CHECKING:
    from streamproc.http.contract import ClientOptions, Target

_VARIABLE = "${"


@streamproc_command()
@click.argument("file", required=False)
@click.option("-c", "--config", metavar="FILE", help="The same, as in run.")
@click.option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE", help="As in run.")
@click.option("--online", is_flag=True, help="Also connect to every target, TLS included.")
def check(file: str | None, config: str | None, sets: tuple[str, ...], online: bool) -> int:
    """Validate a pipeline FILE (TOML), all of it, and print the resolved settings."""
    if (file is None) == (config is None):
        raise click.UsageError("expected one pipeline file: streamproc check FILE")
    config = file or config
    assert config is not None
    import msgspec

    from streamproc.assembly import Pipeline
    from streamproc.assembly.problems import problems_of
    from streamproc.cli.same_file import refuse_same_file
    from streamproc.config.identity import plain
    from streamproc.config.load import merge, read_file, resolve
    from streamproc.config.masking import masked
    from streamproc.config.registry import refuse_names
    from streamproc.config.settings import OWN_KEYS
    from streamproc.config.toml import pipeline_file
    from streamproc.enrichers.imports import look_in_working_directory

    look_in_working_directory()
    refuse_names(OWN_KEYS)
    table = read_file(config)
    settings = resolve(table, {}, sets, try_stage=problems_of)
    refuse_same_file(settings, (), settings.output, config)
    pipeline = Pipeline.from_settings(settings)  # imports what the stages name
    shown = msgspec.to_builtins(settings, enc_hook=plain)
    written = merge(table, {}, sets, [])
    text = pipeline_file(masked(_unfilled(shown, written), lambda _: HIDDEN))
    for line in text.rstrip("\n").split("\n"):
        click.echo(as_json(line))
    for note in pipeline.notes:
        click.echo(f"# {one_line(note)}")
    if online and not asyncio.run(_reach_all(pipeline.targets)):
        return 69
    say(f"{config}: ok")
    return 0


async def _reach_all(targets: Mapping[str, tuple[Target, ClientOptions]]) -> bool:
    """Connect to each target, and say how that went."""
    from streamproc.errors import CallError
    from streamproc.http.lean import LeanClient

    is_good = True
    for stage, (target, options) in targets.items():
        try:
            async with LeanClient(options) as client:
                await client.reach(target)
        except CallError as error:
            is_good = False
            say(f"stage {stage}: {error.kind}: {error.message}")
        else:
            say(f"stage {stage}: {target.name} can be reached")
    return is_good


def _unfilled(value: JsonValue, written: JsonValue) -> JsonValue:
    """`value` with `${VAR}` where the file has it: what the environment says stays secret."""
    if isinstance(written, str) and _VARIABLE in written:
        return written
    if isinstance(value, dict) and isinstance(written, dict):
        return {k: _unfilled(v, written.get(k)) for k, v in value.items()}
    if isinstance(value, list | tuple) and isinstance(written, list | tuple):
        return [_unfilled(v, w) for v, w in zip(value, written, strict=False)]
    return value
