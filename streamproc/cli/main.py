"""The command and its subcommands; `run` is the default one."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

from streamproc.cli.leave import leave, log_json, report
from streamproc.errors import OutputError, ReaderGoneError
from streamproc.nearest import closest

COMMANDS = {
    "run": "streamproc.cli.run:run",
    "check": "streamproc.cli.check:check",
    "init": "streamproc.cli.init:init",
    "test": "streamproc.cli.test:test",
    "schema": "streamproc.cli.schema:schema",
    "replay": "streamproc.cli.replay:replay",
    "completion": "streamproc.cli.completion:completion",
    "man": "streamproc.cli.man:man",
    "help": "streamproc.cli.help:help_",
}
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_RESERVED = ("serve", "batch")  # names of commands to come


def command_of(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `arguments` name, imported now, and what is left for it."""
    name, rest = ("run", arguments)
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
    elif rest and not rest[0].startswith("-"):
        _refuse_near(rest[0])
    module, _, attribute = COMMANDS[name].partition(":")
    return getattr(import_module(module), attribute), rest


def title_of(name: str | None) -> str:
    """How a command is called; `run` need not be named."""
    return "streamproc" if name == "run" else f"streamproc {name}"


def if_it_is_a_file(command: str) -> str:
    """How to read an input that is called as a command is, if there is one."""
    return f"; to read the file: streamproc ./{command}" if os.path.exists(command) else ""


def _refuse_near(word: str) -> None:
    """A command that is misspelt, or none yet, would be an input that does not exist."""
    if word in _RESERVED and not os.path.exists(word):
        raise click.UsageError(f"{word}: not available in this version")
    if "/" in word or os.path.exists(word):
        return
    match = closest(word, COMMANDS, 0.7) or (f"--{word}" if _is_option(f"--{word}") else None)
    if match:
        raise click.UsageError(
            f"there is no command or file {word!r}, did you mean: streamproc {match}"
        )


def _is_option(name: str) -> bool:
    run: click.Command = command_of([])[0]
    return any(name in each.opts for each in run.params)


def _hide_secrets(arguments: list[str]) -> None:
    """Passwords in addresses, before any of them can be printed in a message."""
    addresses = [each for each in arguments if "://" in each and "?" in each]
    if addresses:
        from streamproc.config.addresses import hide_secrets

        hide_secrets(addresses)


def _wants_json(arguments: list[str]) -> bool:
    """Whether errors are for machines, known before the options are parsed, which may fail."""
    wanted = os.environ.get("STREAMPROC_LOG_FORMAT")
    for i, argument in enumerate(arguments):
        if argument == "--log-format":
            wanted = "".join(arguments[i + 1 : i + 2])
        elif argument.startswith("--log-format="):
            wanted = argument.partition("=")[2]
    return wanted == "json"


def _of_stdout(error: OSError) -> Exception:
    """What it means in a command that prints; a run knows its output itself."""
    if error.errno == errno.EPIPE:
        return ReaderGoneError("the reader of stdout went away")
    if error.errno in _OF_OUTPUT and error.filename is None:
        return OutputError("stdout", str(error.strerror))
    return error


def main() -> None:
    """Run the command line and leave with its exit code."""
    _hide_secrets(sys.argv[1:])
    if _wants_json(sys.argv[1:]):
        log_json()
    if (instruction := os.environ.get("_STREAMPROC_COMPLETE")) is not None:
        from streamproc.cli.completion import answer

        leave(answer(instruction))
    try:
        command, arguments = command_of(sys.argv[1:])
        with command.make_context(title_of(command.name), arguments) as context:
            code = command.invoke(context)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except KeyboardInterrupt:  # raised by code that a stage names: ours leaves at once
        code = 130
    except OSError as error:
        code = report(_of_stdout(error))
    except Exception as error:
        code = report(error)
    leave(code or 0)
