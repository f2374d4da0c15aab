"""`streamproc [OPTIONS] [INPUT...]`: the filter."""

from __future__ import annotations

import os
from typing import Any

import click

from streamproc.cli.options import run_options
from streamproc.errors import UsageError

_STDIN = {"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
_STDOUT = {None, "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
_EPILOG = """\b
Other commands: check, schema, replay (each has its own --help).
Example: cat leads.jsonl | streamproc | jq ."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@run_options
def run(inputs: tuple[str, ...], config: str | None, sets: tuple[str, ...], **given: Any) -> int:
    """Read JSON Lines, enrich each record, write JSON Lines.

    INPUT is files in order; - or none is stdin.
    """
    paths = ["-" if name in _STDIN else name for name in inputs or ("-",)]

    from streamproc.config.load import read_file, resolve
    from streamproc.config.specs import stage_of

    enrich = given.pop("enrich")
    overrides = {name: value for name, value in given.items() if value is not None}
    if enrich:
        overrides["stage"] = [stage_of(spec) for spec in enrich]
    _name_topics(inputs, overrides)
    settings = resolve(read_file(config) if config else {}, overrides, sets)
    if settings.source is not None:
        paths = []
    elif not inputs and _is_terminal(0):
        click.echo(click.get_current_context().get_usage(), err=True)
        click.echo("streamproc: stdin is a terminal: pipe records in, or name a file", err=True)
        return 2
    output = None if settings.output in _STDOUT else settings.output

    from streamproc.cli.same_file import refuse_same_file

    target = (1 if output is None else output) if settings.sink is None else None
    refuse_same_file(settings, paths, target, config)

    from streamproc.cli.launch import launch

    return launch(settings, paths, output)


def _name_topics(inputs: tuple[str, ...], overrides: dict[str, Any]) -> None:
    """kafka:// addresses are tables of the pipeline file."""
    addresses = [name for name in (*inputs, overrides.get("output"), overrides.get("dead_letter"))
                 if name is not None and name.startswith("kafka://")]  # fmt: skip
    if not addresses:
        return
    from streamproc.kafka.settings import is_address, table_of

    if any(map(is_address, inputs)):
        if len(inputs) > 1:
            raise UsageError("a Kafka topic is the only INPUT; several topics: /TOPIC,TOPIC")
        overrides["source"] = table_of(inputs[0], is_source=True)
    if is_address(overrides.get("output")):
        overrides["sink"] = table_of(overrides.pop("output"), is_source=False)
    if is_address(overrides.get("dead_letter")):
        overrides["dead_letter"] = table_of(overrides["dead_letter"], is_source=False)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
