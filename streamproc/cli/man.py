"""`streamproc man`: the manual page, made of what the commands know of themselves."""

from __future__ import annotations

import re

import click

from streamproc.cli.command import streamproc_command
from streamproc.cli.first_screen import EXAMPLES
from streamproc.errors import EXIT_CODES
from streamproc.version import __version__


@streamproc_command()
def man() -> int:
    """Print the manual page; see it with: streamproc man | man -l /dev/stdin."""
    from streamproc.cli.main import COMMANDS, command_of, title_of

    lines = [
        f'.TH STREAMPROC 1 "" "streamproc {__version__}" "User Commands"',
        ".SH NAME", r"streamproc \- enrich JSON Lines, many records at once, losing none",
        ".SH SYNOPSIS", ".nf",
    ]  # fmt: skip
    commands = {name: command_of([name])[0] for name in COMMANDS}
    for name, command in commands.items():
        context = click.Context(command, info_name=title_of(name))
        lines.append(_text(context.get_usage().removeprefix("Usage: ")))
    lines.append(".fi")
    for name, command in commands.items():
        lines += [f".SH {_text(title_of(name).upper())}", *_paragraphs(command.help or "")]
        context = click.Context(command, info_name=name)
        records = [param.get_help_record(context) for param in command.get_params(context)]
        for record in filter(None, records):
            lines += [".TP", rf"\fB{_text(record[0])}\fR", _text(record[1] or "")]
    lines += [".SH EXIT STATUS"]
    for code, says in EXIT_CODES.items():
        lines += [".TP", rf"\fB{code}\fR", _text(says.replace("`", ""))]
    lines += [
        ".SH ENVIRONMENT",
        "Each long option of run: STREAMPROC_ and its name in capitals, as STREAMPROC_CONCURRENCY.",
        "NO_COLOR: no colours.", ".SH EXAMPLES",
    ]  # fmt: skip
    for command_line, says in EXAMPLES:
        lines += [".PP", _text(says) + ":", ".PP", ".RS", ".nf", _text(command_line), ".fi", ".RE"]
    click.echo("\n".join(lines))
    return 0


def _paragraphs(text: str) -> list[str]:
    return [line for each in text.replace("\b", "").split("\n\n") for line in (".PP", _text(each))]


def _text(text: str) -> str:
    """Text as roff has it: no line is a request, no hyphen a dash."""
    escaped = text.strip().replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)
