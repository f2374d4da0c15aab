"""`make docs`: the parts of docs/reference/ that are made of what the code says of itself.

A page has them between `<!-- made by `make docs`: NAME -->` and `<!-- end -->`; the rest of it is
written by hand. With `--check` nothing is written, and a page that differs is an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
import msgspec

from streamproc.cli.main import COMMANDS, command_of, title_of
from streamproc.config.settings import Settings, struct_for
from streamproc.errors import EXIT_CODES

LISTS = {"stage": "[[stage]]", "stage.fallback": "[[stage.fallback]]"}
# types that are written as text or numbers
OWN = {
    "Seconds": "duration",
    "ByteSize": "size",
    "Rate": "rate",
    "Sample": "number or share",
    "Template": "template",
    "Address": "address",
    "RunId": "text",
}
FOLDER = Path(__file__).parent.parent / "docs" / "reference"
MADE = re.compile(r"(<!-- made by `make docs`: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> Iterator[str]:
    """Every command: what it does, and its options, as `--help` has them."""
    for name in COMMANDS:
        command = command_of([name])[0]
        context = click.Context(command, info_name=title_of(name), terminal_width=80)
        yield f"## `{context.get_usage().removeprefix('Usage: ')}`"
        yield paragraphs(command.help or "")
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
        records = [each.get_help_record(context) for each in options]
        # the last two, -V and -h, are those of each command
        rows = [(f"`{each[0]}`", prose(each[1])) for each in records[:-2] if each is not None]
        if rows:
            yield table(("option", "meaning"), rows)


def exit_codes() -> Iterator[str]:
    """Every number that a run may return."""
    yield table(("exit code", "means"), list(EXIT_CODES.items()))


def keys() -> Iterator[str]:
    """Every table of the pipeline file, each after the one that names it first."""
    waiting: list[tuple[str, type[msgspec.Struct]]] = [("", Settings)]
    seen: set[type[msgspec.Struct]] = set()
    while waiting:
        path, struct = waiting.pop(0)
        if struct in seen:
            continue
        seen.add(struct)
        struct = struct_for(struct, ())
        yield f"### `{LISTS.get(path, f'[{path}]')}`" if path else "### At the top"
        yield paragraphs(struct.__doc__ or "")
        hints = get_type_hints(struct, include_extras=True)
        fields = msgspec.structs.fields(struct)
        rows = [(f"`{each.encode_name}`", kind(hints[each.name]), default(each)) for each in fields]
        if rows:  # all keys of `[observers]` are those of plugins
            yield table(("key", "type", "default"), rows)
        waiting[:0] = [
            (f"{path}.{each.encode_name}".lstrip("."), inner)
            for each in fields
            for inner in structs(hints[each.name])
        ]


def kind(hint: Any) -> str:
    """A type, as somebody who writes TOML says it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        text = kind(arguments[0])
        limits = [each for each in arguments[1:] if isinstance(each, msgspec.Meta)]
        return " ".join([text, *(limit for each in limits for limit in within(each))])
    if origin is Literal:
        return " or ".join(f'`"{each}"`' for each in arguments)
    if origin in (Union, UnionType):
        return " or ".join(kind(each) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return "table"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "table"
    names = {str: "text", bool: "true or false", int: "number", float: "number", Any: "any value"}
    return names.get(hint) or next(OWN[each] for each in bases(hint) if each in OWN)


def bases(hint: Any) -> list[str]:
    """The names of a class and of what it is a kind of."""
    return [each.__name__ for each in getattr(hint, "__mro__", ())]


def within(limits: msgspec.Meta) -> Iterator[str]:
    """The bounds of a number."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    for name, sign in signs.items():
        if (bound := getattr(limits, name)) is not None:
            yield f"{sign} {bound}"


def structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    """The tables that a type names, at any depth."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    named = get_args(hint)
    for each in named[:1] if get_origin(hint) is Annotated else named:
        yield from structs(each)


def default(field: Any) -> str:
    """What stands for a key that is not given."""
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if value is None or value is msgspec.UNSET or value in ((), {}):
        return ""
    if isinstance(value, tuple):
        return f"the `{value[0].builtin}` stage"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, float) or not value % 1024:
        return f"`{amount(field.type, value)}`"
    return f"`{value}`"


def amount(hint: Any, value: float) -> str:
    """A number with its unit."""
    names = {name for each in (hint, *get_args(hint)) for name in bases(each)}
    if "ByteSize" in names:
        return f"{value / (1 << 20):g}MiB"
    if "Seconds" in names:
        return f"{value:g}s" if value >= 1 else f"{value * 1000:g}ms"
    return f"{value:g}"


def paragraphs(text: str) -> str:
    r"""A docstring or a help text; what stands behind click's \b keeps its lines."""
    parts = re.split(r"\n\s*\n", re.sub(r"\n[ \t]+", "\n", text.strip()))
    return "\n\n".join(
        f"```text\n{each.removeprefix(chr(8)).strip()}\n```" if chr(8) in each else prose(each)
        for each in parts
    )


def prose(text: str) -> str:
    """Help texts are no Markdown: what would be markup there is written as it is."""
    return re.sub(r"(?<![`\w])<", "\\<", re.sub(r"\s*\n\s*", " ", text))


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head)]
    lines += [tuple(cell.replace("|", r"\|") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "exit codes": exit_codes,
    "keys": keys,
}


def remade(text: str) -> str:
    """A page, its made parts made anew."""
    return MADE.sub(lambda m: m[1] + "\n" + "\n\n".join(PARTS[m[2]]()) + "\n\n" + m[3], text)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which differ."""
    code = 0
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text("utf-8")
        if (new := remade(text)) == text:
            continue
        if arguments == ["--check"]:
            print(f"{page.parent.name}/{page.name} differs from the code: run make docs")
            code = 1
        else:
            page.write_text(new, "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
