"""`streamproc replay FILE...`: the original lines of failed records."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from streamproc.cli.leave import say
from streamproc.codec import original_line
from streamproc.errors import DecodeError, InputError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--failed-only", is_flag=True, help="Keep _error.sources: only those run again.")
def replay(files: tuple[str, ...], failed_only: bool) -> int:
    """Give back the original lines of failed records, ready to be piped in again.

    FILE is a dead-letter file or annotated output; - is stdin. Lines without an _error
    are skipped. Exit code 3 if an original cannot be given back.
    """
    code = 0
    out = sys.stdout.buffer
    try:
        for file in files:
            for number, line in _lines(file):
                try:
                    original = original_line(line, keep_sources=failed_only)
                except DecodeError as error:
                    say(f"streamproc: {file}, line {number}: {error.message}")
                    code = 3
                    continue
                if original is not None:
                    out.write(original + b"\n")
        out.flush()
    except BrokenPipeError:
        return 141
    return code


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    try:
        with sys.stdin.buffer if file == "-" else open(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line.removesuffix(b"\n")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
