"""`streamproc completion SHELL`: Tab for commands, options, their values and files."""

from __future__ import annotations

import click
from click import Context, Parameter
from click.shell_completion import CompletionItem, get_completion_class

from streamproc.cli.command import streamproc_command

_VARIABLE = "_STREAMPROC_COMPLETE"
_OF_FILES = ("FILE", "FILE...", "[INPUT]...")
_SPECS = ("leads", "none", "select:", "filter:")


@streamproc_command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a SHELL complete streamproc's options.

    \b
    bash: streamproc completion bash >> ~/.bashrc
    zsh:  streamproc completion zsh >> ~/.zshrc
    fish: streamproc completion fish > ~/.config/fish/completions/streamproc.fish
    """  # noqa: D301 - click wants the character itself
    kind = get_completion_class(shell)
    assert kind is not None
    found = kind(_Everything("streamproc"), {}, "streamproc", _VARIABLE)
    click.echo(found.source_template % found.source_vars())
    return 0


class _Everything(click.Group):
    """All commands beside the options of `run`, which is the one that need not be named."""

    def __init__(self, name: str) -> None:
        from streamproc.cli.main import COMMANDS, command_of
        from streamproc.cli.run import run

        commands = {each: command_of([each])[0] for each in COMMANDS}
        for command in commands.values():
            for param in command.params:
                _complete(param)
        options = [param for param in run.params if isinstance(param, click.Option)]
        super().__init__(name, commands=commands, params=options, invoke_without_command=True)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options, and files: an INPUT may come first."""
        items = super().shell_complete(ctx, incomplete)
        return items if incomplete.startswith("-") else [*items, CompletionItem("", type="file")]


def _complete(param: click.Parameter) -> None:
    """Files where one is named, and what a SPEC may begin with."""
    if param.metavar in _OF_FILES or param.name == "file":
        param._custom_shell_complete = _files
    elif param.name == "enrich":
        param._custom_shell_complete = _specs


def _files(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _specs(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
    found = [CompletionItem(spec) for spec in _SPECS if spec.startswith(incomplete)]
    return found or _files(ctx, param, incomplete)


def answer(instruction: str) -> int:
    """What the shell asked for when Tab was pressed."""
    shell, _, what = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None or what != "complete":
        return 1
    click.echo(kind(_Everything("streamproc"), {}, "streamproc", _VARIABLE).complete())
    return 0
