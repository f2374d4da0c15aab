"""`streamproc help [TOPIC]`: the pages of the documentation, in the terminal."""

from __future__ import annotations

from pathlib import Path

import click

import streamproc
from streamproc.cli.command import streamproc_command
from streamproc.nearest import nearest


def _begin_so(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [topic for topic in topics() if topic.startswith(incomplete)]


@streamproc_command("help")
@click.argument("topic", required=False, shell_complete=_begin_so)
def help_(topic: str | None) -> int:
    """Print what the documentation says about a TOPIC, or the options of a command.

    Without one, the list of topics.
    """
    from streamproc.cli.main import COMMANDS, command_of, title_of

    pages = topics()
    if topic is None:
        click.echo("\n".join(_list_of(pages)))
    elif topic in pages:
        from streamproc.cli.plain_text import plain_text

        click.echo_via_pager(plain_text(pages[topic].read_text("utf-8")))
    elif topic in COMMANDS:
        command = command_of([topic])[0]
        click.echo(command.get_help(click.Context(command, info_name=title_of(topic))))
    else:
        meant = nearest(topic, [*pages, *COMMANDS])
        raise click.UsageError(f"there is no help on {topic!r}{meant}; streamproc help lists it")
    return 0


def topics() -> dict[str, Path]:
    """The pages by name, those of the guide first."""
    assert streamproc.__file__ is not None
    docs = Path(streamproc.__file__).parent / "docs"
    rooms = ("guide", "extending", "reference")
    return {page.stem: page for room in rooms for page in sorted((docs / room).glob("*.md"))}


def _list_of(pages: dict[str, Path]) -> list[str]:
    lines = ["streamproc help TOPIC, which is one of", ""]
    for name, page in pages.items():
        with page.open(encoding="utf-8") as text:
            title = text.readline().strip("# \n").replace("`", "")
        lines.append(f"  {name:14} {title}")
    more = "All options: streamproc --help. Those of a command: streamproc help COMMAND."
    return [*lines, "", more]
