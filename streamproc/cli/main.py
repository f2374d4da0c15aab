"""The command and its subcommands; `run` is the default one."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from streamproc.cli.leave import leave, report

_COMMANDS = {
    "run": "streamproc.cli.run:run",
    "check": "streamproc.cli.check:check",
    "schema": "streamproc.cli.schema:schema",
    "replay": "streamproc.cli.replay:replay",
}


def command_of(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `arguments` name, imported now, and what is left for it."""
    name, rest = ("run", arguments)
    if arguments and arguments[0] == "help":
        arguments = [each for each in arguments[1:] if not each.startswith("-")] + ["--help"]
        rest = arguments
    if arguments and arguments[0] in _COMMANDS:
        name, *rest = arguments
    elif rest and not rest[0].startswith("-"):
        _refuse_near(rest[0])
    module, _, attribute = _COMMANDS[name].partition(":")
    return getattr(import_module(module), attribute), rest


def _refuse_near(word: str) -> None:
    """A command that is misspelt would be an input that does not exist."""
    from difflib import get_close_matches

    match = get_close_matches(word, [*_COMMANDS, "help"], 1, cutoff=0.7)
    if match and "/" not in word and not os.path.exists(word):
        raise click.UsageError(
            f"there is no command or file {word!r}, did you mean: streamproc {match[0]}"
        )


def _hide_secrets(arguments: list[str]) -> None:
    """Passwords in addresses, before any of them can be printed in a message."""
    addresses = [each[each.index("kafka://") :] for each in arguments if "kafka://" in each]
    if addresses:
        from streamproc.kafka.settings import hide_secrets

        for address in addresses:
            hide_secrets(address)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda n, _: os._exit(128 + n))  # nothing was read yet
    _hide_secrets(sys.argv[1:])
    try:
        command, arguments = command_of(sys.argv[1:])
        name = "streamproc" if command.name == "run" else f"streamproc {command.name}"
        code = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except Exception as error:
        code = report(error)
    leave(code or 0)
