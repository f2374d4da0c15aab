"""`--dry-run`: what would be called for the first records, and nothing is."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import redirect_stdout

import click
from msgspec import structs

from streamproc.assembly.endpoints import selection_of, source_of, source_scope
from streamproc.cli.leave import note
from streamproc.config.settings import Settings
from streamproc.enrichers.imports import look_in_working_directory
from streamproc.record import WHITESPACE, Failed, id_of
from streamproc.shown import counted, one_line
from streamproc.sinks.recipes import Stdout
from streamproc.trials.preview import Preview, PreviewLine

RECORDS = 10
_SHOWN_RECORD = 200  # characters
_SHOWN = 3000  # of any other line


def dry_run(settings: Settings, inputs: Sequence[str], notes: Sequence[str]) -> int:
    """Print it, and return the exit code: 3 if one of the records would fail."""
    look_in_working_directory()
    with redirect_stdout(sys.stderr):  # modules may print when they are imported
        preview = Preview(settings)
    for each in [*notes, *_left_alone(settings)]:
        note(each)
    try:
        return asyncio.run(_show(_to_look_at(settings), inputs, preview))
    except BrokenPipeError:
        return 141


def _left_alone(settings: Settings) -> Iterator[str]:
    if settings.source is not None and settings.source.recipe.remembers:
        yield "a dry run is no member of the group: it reads from the beginning, or as `from` says"
    if settings.resume or settings.resume_force:
        yield "a dry run reads no checkpoint: these are the first records of the input"


def _to_look_at(settings: Settings) -> Settings:
    """The settings of who looks at the first records of what is there, and goes."""
    is_endless = settings.source is not None and settings.source.recipe.is_endless
    return structs.replace(
        settings,
        limit=settings.limit or RECORDS,
        checkpoint=None,
        stop_at_end=settings.stop_at_end or is_endless,
    )


async def _show(settings: Settings, inputs: Sequence[str], preview: Preview) -> int:
    effects: dict[str, Counter[str]] = {}
    records = 0
    async for place, record_id, line, failed in _records(settings, inputs):
        records += 1
        click.echo(f"{one_line(place)}: {one_line(line.decode('utf-8', 'replace'), _SHOWN_RECORD)}")
        lines = preview.of(line, record_id) if failed is None else [PreviewLine.of_failure(failed)]
        for stage, said, effect, details in lines:
            click.echo(f"  {stage}: {one_line(said, _SHOWN)}")
            for detail in details:
                click.echo(f"      {one_line(detail, _SHOWN)}")
            if effect:
                effects.setdefault(stage, Counter())[effect] += 1
    stages = [
        f"; {stage}: {', '.join(f'{number:,} {effect}' for effect, number in counts.items())}"
        for stage, counts in effects.items()
    ]
    click.echo(f"dry run of {counted(records, 'record')}: nothing is called{''.join(stages)}")
    return 3 if any(counts["failed"] for counts in effects.values()) else 0


async def _records(
    settings: Settings, inputs: Sequence[str]
) -> AsyncIterator[tuple[str, str, bytes, Failed | None]]:
    """The records that are chosen: where each of them stands, its id, and why it is none."""
    selection = selection_of(settings)
    assert selection is not None
    scope = source_scope(settings, Stdout())
    async with source_of(settings, inputs).unnoticed().opened(scope) as source:
        while not selection.is_full and (received := await source.receive()) is not None:
            batch, failed = received
            file, first = batch.cursor[:2]
            lines = batch.lines if failed is None else [b"-"]
            for i, is_passed in enumerate(selection.passed(lines)):
                if not is_passed and lines[i].strip(WHITESPACE):
                    record_id = id_of(settings.run_id or "", batch.cursor, i)
                    yield f"{file}, line {first + i}", record_id, batch.lines[i], failed
