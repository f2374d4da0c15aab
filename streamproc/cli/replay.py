"""`streamproc replay FILE...`: the original lines of failed records."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence

import click

from streamproc.cli.command import streamproc_command
from streamproc.cli.leave import note, say
from streamproc.codec import one_line, original_line
from streamproc.errors import DecodeError, InputError, OutputError, UsageError
from streamproc.nearest import nearest_file
from streamproc.record import BOM
from streamproc.shown import counted


@streamproc_command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--failed-only",
    is_flag=True,
    help="For --incoming-errors redo: only the sources that failed are asked again.",
)
@click.option("-o", "--output", metavar="ADDRESS", help="Of a topic: give back to this one.")
def replay(files: tuple[str, ...], failed_only: bool, output: str | None) -> int:
    """Give back the original lines of failed records, ready to be piped in again.

    FILE is a dead-letter file or annotated output; - is stdin; the address of a topic is a
    topic of them, and with -o ADDRESS key and headers are given back as well. Lines
    without an _error are skipped. Exit code 3 if an original cannot be given back.
    """
    from streamproc.config.addresses import scheme_of

    if scheme_of(files[0]):
        return _replay_address(files, output, keep_sources=failed_only)
    if output is not None:
        raise UsageError("-o is for topics: redirect the output (> FILE), or pipe it")
    if sys.stdout is None:
        raise OutputError("stdout", "closed: redirect it (> FILE), or pipe it")
    out = sys.stdout.buffer
    code = seen = given = 0
    try:
        for file in files:
            for number, line in _lines(file):
                seen += 1
                try:
                    original = original_line(line, keep_sources=failed_only)
                    if original is not None:
                        out.write(one_line(original) + b"\n")
                        given += 1
                except DecodeError as error:
                    say(f"streamproc: {file}, line {number}: {error.message}")
                    code = 3
        out.flush()
    except BrokenPipeError:
        return 141
    if not given and not code:
        note(_nothing(files, seen))
    return code


def _nothing(files: Sequence[str], lines: int) -> str:
    places = ", ".join("stdin" if file == "-" else file for file in files)
    return (
        f"nothing to give back: no _error in {counted(lines, 'line')} of {places}; failed "
        "records are in what --on-error annotate wrote, and in the file of --dead-letter"
    )


def _replay_address(files: tuple[str, ...], output: str | None, *, keep_sources: bool) -> int:
    from streamproc.config.addresses import connector_of, table_of
    from streamproc.config.load import resolve

    kind = connector_of(files[0])
    table = {"source": table_of(files[0], is_source=True)}
    if len(files) > 1 and kind.source is not None:
        raise UsageError(f"{kind.source.what} is the only FILE; {kind.source.address}")
    if output is not None:
        if connector_of(output) is not kind:
            raise UsageError(f"-o {output}: expected another address such as {files[0]}")
        table["sink"] = table_of(output, is_source=False)
    settings = resolve(table)
    assert settings.source is not None
    sink = None if settings.sink is None else settings.sink.recipe
    complaints: list[str] = []
    try:
        given = kind.replay(
            settings.source.recipe,
            sink,
            sys.stdout.buffer,
            complaints.append,
            keep_sources=keep_sources,
        )
    except BrokenPipeError:
        return 141
    for complaint in complaints:
        say(f"streamproc: {complaint}")
    if not given and not complaints:
        note(f"nothing to give back: there are no failed records in {files[0]} from where it began")
    return 3 if complaints else 0


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; of a file those that are there now.

    It may be the dead-letter file of the run that reads what we write.
    """
    if file == "-" and sys.stdin is None:
        raise InputError("stdin is closed: pipe records in, or name a file")
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as stream:
            status = os.fstat(stream.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            if is_file and os.path.samestat(status, os.fstat(sys.stdout.fileno())):
                raise UsageError(f"{file} is also the output: write to another file")
            at = os.lseek(stream.fileno(), 0, os.SEEK_CUR) if is_file else 0
            for number, line in enumerate(stream, 1):
                at += len(line)
                if is_file and at > status.st_size:
                    break
                if line.strip():
                    mark = BOM if number == 1 else b""
                    yield number, line.removeprefix(mark).removesuffix(b"\n")
            if is_file and os.fstat(stream.fileno()).st_size > status.st_size:
                say(
                    f"streamproc: {file} has grown while it was read, and what was added is not "
                    "given back; as the dead-letter file of the run that reads this it has "
                    "records twice that failed again"
                )
    except OSError as error:
        said = f"{error.strerror}{nearest_file(file)}"
        raise InputError(f"cannot read {file}: {said}") from error
