"""What every command has."""

from __future__ import annotations

from collections.abc import Callable

import click

from streamproc import __version__
from streamproc.types import Function


def streamproc_command(
    name: str | None = None, cls: type[click.Command] = click.Command, epilog: str | None = None
) -> Callable[[Function], click.Command]:
    """A command with -h and -V; one that is given no `name` is called as its function."""
    help_options = {"help_option_names": ["-h", "--help"]}
    with_version = click.version_option(__version__, "-V", "--version", prog_name="streamproc")

    def declare(function: Function) -> click.Command:
        made = click.command(name, cls, context_settings=help_options, epilog=epilog)(function)
        return with_version(made)

    return declare
