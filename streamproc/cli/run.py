"""`streamproc [OPTIONS] [INPUT...]`: the filter."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from streamproc.cli.command import streamproc_command
from streamproc.cli.leave import log_json
from streamproc.cli.options import run_options, unknown_variables
from streamproc.errors import ConfigError, UsageError
from streamproc.types import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamproc.config.settings import Settings, StageSettings

_STDIN = {"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
_STDOUT = {None, "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
_EPILOG = """\b
Other commands: init, test, check, schema, replay, completion, man (each has its own --help).
The guide: streamproc help
Example: streamproc --demo | jq"""


class _Run(click.Command):
    """A command whose help names what addresses mean, and the plugins that are installed."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from streamproc.config.registry import installed

        with formatter.section("Addresses"):
            formatter.write_dl(list(_addresses()))
        if plugins := installed():
            with formatter.section("Plugins"):
                formatter.write_dl([(kind, ", ".join(names)) for kind, names in plugins.items()])
        super().format_epilog(context, formatter)


@streamproc_command(cls=_Run, epilog=_EPILOG)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@run_options
def run(
    inputs: tuple[str, ...], config: str | None, sets: tuple[str, ...], **given: Any
) -> int:  # each option's own type
    """Read JSON Lines, enrich each record, write JSON Lines.

    INPUT is files in order; - or none is stdin.
    """
    if given.pop("demo"):
        if inputs:
            raise UsageError("--demo reads the bundled sample: leave INPUT out, or --demo")
        from streamproc.cli.first_screen import demo_file

        inputs = (demo_file(),)
    paths = ["-" if name in _STDIN else name for name in inputs or ("-",)]

    from streamproc.cli.http_flags import apply_http_flags
    from streamproc.config.load import read_file, resolve
    from streamproc.config.specs import stage_of

    table = read_file(config) if config else {}
    if table.get("log_format") == "json" and given["log_format"] is None:
        log_json()
    enrich, is_dry_run = given.pop("enrich"), given.pop("dry_run")
    overrides = {name: value for name, value in given.items() if value is not None}
    _set_aside_tables(inputs, overrides)
    if enrich:
        overrides["stage"] = [stage_of(spec) for spec in enrich]
    apply_http_flags(overrides.get("stage", ()), overrides)
    _name_ends(inputs, overrides)
    _lay_monitor(table, overrides)
    if isinstance(table.get("trace"), dict):  # it is asked for there already
        overrides.pop("trace", None)
    settings = resolve(table, overrides, sets, try_stage=_try if config else None)
    notes = unknown_variables(os.environ, click.get_current_context().command.params)
    notes += _without_effect(settings, overrides)
    if enrich and config and "stage" in table:
        notes.append(
            f"-e replaces the stages of {config}; to have both, write it there as another "
            "[[stage]], or pipe one run into the other"
        )
    if settings.on_error == "dead-letter" and "on_error" not in {**table, **overrides}:
        notes.append(
            "failed records go to the dead letters and not into the output "
            "(--on-error dead-letter); --on-error annotate keeps them there"
        )
    if settings.on_error == "drop" and settings.dead_letter is not None:
        notes.append(
            "failed records are dropped and not in the dead letters (--on-error drop); "
            "--on-error dead-letter puts them there"
        )
    _refuse_nonsense(settings)
    if settings.source is not None:
        paths = []
    elif not inputs and _is_terminal(0):
        if len(sys.argv) == 1:
            from streamproc.cli.first_screen import first_screen, wants_colours

            click.echo(first_screen(colours=wants_colours(2)), err=True, color=True)
            return 2
        click.echo(click.get_current_context().get_usage(), err=True)
        click.echo("streamproc: stdin is a terminal: pipe records in, or name a file", err=True)
        return 2
    output = None if settings.output in _STDOUT else settings.output

    from streamproc.cli.same_file import refuse_same_file

    target = (1 if output is None else output) if settings.sink is None else None
    refuse_same_file(settings, paths, target, config)

    if is_dry_run:
        from streamproc.cli.dry_run import dry_run

        return dry_run(settings, paths, notes)

    from streamproc.cli.launch import launch

    return launch(settings, paths, output, notes)


def _try(stage: StageSettings) -> Sequence[str]:
    """What is wrong with the code and the expressions of a stage, when something is wrong."""
    from streamproc.assembly.problems import problems_of
    from streamproc.enrichers.imports import look_in_working_directory

    look_in_working_directory()
    return problems_of(stage)


def _name_ends(inputs: tuple[str, ...], overrides: Table) -> None:
    """Addresses are tables of the pipeline file."""
    from streamproc.config.addresses import connector_of, scheme_of, table_of

    for name in inputs:
        if scheme_of(name):
            overrides["source"] = table_of(name, is_source=True)
            if len(inputs) > 1 and (source := connector_of(name).source):
                raise UsageError(f"{name}: {source.what} is the only INPUT; {source.address}")
    if scheme_of(output := overrides.get("output")):
        overrides["sink"] = table_of(str(output), is_source=False)
        del overrides["output"]
    if scheme_of(letters := overrides.get("dead_letter")):
        overrides["dead_letter"] = table_of(str(letters), is_source=False)


def _addresses() -> Iterator[tuple[str, str]]:
    """What each is, and what it looks like; of a plugin that cannot be used, why not."""
    from streamproc.config.registry import connector, schemes

    for scheme in schemes():
        try:
            kind = connector(scheme)
        except ConfigError as error:
            yield f"{scheme}://", str(error)
            continue
        assert kind is not None  # it is one of those that there are
        source, sink = kind.source, kind.sink
        if source is not None:
            yield source.what, source.address
        if sink is not None and (source is None or source.address != sink.address):
            yield sink.what if source is None else f"{sink.what}, as output", sink.address


def _endless() -> Iterator[str]:
    from streamproc.config.registry import connector, schemes

    for scheme in schemes():
        with suppress(ConfigError):  # of a plugin that cannot be used
            kind = connector(scheme)
            if kind and kind.source and kind.source.is_endless:
                yield kind.source.what


def _lay_monitor(table: Table, overrides: Table) -> None:
    """Its flags are keys of one table, of which the file may have others."""
    flags = {"monitor": "address", "monitor_token": "token"}
    given = {key: overrides.pop(name) for name, key in flags.items() if name in overrides}
    if not given:
        return
    written = table.get("monitor")
    if written is None and "address" not in given:
        raise UsageError("--monitor-token is for a monitor: add --monitor ADDR, or leave it out")
    short = {} if written is None else {"address": written}
    overrides["monitor"] = (written if isinstance(written, dict) else short) | given


def _refuse_nonsense(settings: Settings) -> None:
    """What was asked for and would do nothing, or what nobody wants."""
    if settings.sample_seed and settings.sample >= 1:
        raise UsageError("--sample-seed is for a random share: add --sample 0.01, or leave it out")
    if settings.input_format == "json" and (settings.checkpoint or settings.ack_fd is not None):
        raise UsageError(
            "--input-format json has no lines to go on from: for --checkpoint and --ack-fd pipe "
            "the input through jq -c (.[] for an array)"
        )
    source = None if settings.source is None else settings.source.recipe
    if settings.stop_at_end and not (source and source.is_endless):
        endless = " or ".join(_endless())
        raise UsageError(f"--stop-at-end is for {endless}: leave it out, files end by themselves")
    if settings.skip and source and source.remembers:
        raise UsageError(
            "--skip would pass over more messages at each start of the group: leave out the group, "
            "or begin elsewhere (?from=...)"
        )


def _set_aside_tables(inputs: tuple[str, ...], overrides: Table) -> None:
    """INPUT and -o win over [source] and [sink] of the pipeline file, as every flag does."""
    if inputs:
        overrides["source"] = None
    if "output" in overrides:
        overrides["sink"] = None


def _without_effect(settings: Settings, overrides: Table) -> list[str]:
    """Flags for calls, where no stage makes any."""
    from streamproc.config.recipes import kind_of
    from streamproc.config.settings import all_sources

    flags = [f"--{name}" for name in ("retries", "rate", "cache") if name in overrides]
    kinds = map(kind_of, all_sources(settings.stage))
    if not flags or any(kind is None or kind.takes_policies for kind in kinds):
        return []
    have = "has" if len(flags) == 1 else "have"
    return [
        f"no stage calls anybody, so {', '.join(flags)} {have} no effect: -e names one that does"
    ]


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
