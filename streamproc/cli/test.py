"""`streamproc test FILE...`: whether pipelines do what their tests say."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from streamproc.cli.command import streamproc_command
from streamproc.cli.first_screen import wants_colours
from streamproc.errors import ConfigError
from streamproc.shown import one_line

if TYPE_CHECKING:
    from streamproc.trials.cases import Case
    from streamproc.trials.differences import Difference

PASSED, FAILED, UPDATED = "passed", "failed", "updated"
_COLOURS = {PASSED: "green", FAILED: "red", UPDATED: "yellow"}
_SHOWN = 2000  # characters of a line


@streamproc_command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--update", is_flag=True, help="Expect from now on what comes out now.")
def test(files: tuple[str, ...], update: bool) -> int:
    """Run the tests in each FILE (TOML), offline.

    A [[test]] has a name, a pipeline file, input records, answers for the stages that call
    somebody, and the records to expect. The pipeline is the real one, with its retries, limits
    and caches; waits take no time. Exit code 3 if a test fails.
    """
    if not files:
        from streamproc.cli.main import if_it_is_a_file

        raise click.UsageError(f"expected: streamproc test FILE...{if_it_is_a_file('test')}")
    from streamproc.enrichers.imports import look_in_working_directory
    from streamproc.telemetry.log import configure

    configure("error", "text", sys.stderr)
    look_in_working_directory()
    try:
        verdicts = Counter(
            verdict
            for file, cases in _read(files).items()
            for verdict in _run(file, cases, update=update)
        )
        _echo(", ".join(f"{number} {verdict}" for verdict, number in verdicts.items()))
    except BrokenPipeError:
        return 141
    return 3 if verdicts[FAILED] else 0


def _read(files: Sequence[str]) -> dict[str, list[Case]]:
    """All of them before any of them runs: what is wrong with them is told at once."""
    from streamproc.trials.cases import cases_of

    cases: dict[str, list[Case]] = {}
    problems: list[str] = []
    for file in files:
        try:
            with redirect_stdout(sys.stderr):  # what user code prints is no part of the report
                cases[file] = cases_of(file)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return cases


def _run(file: str, cases: Sequence[Case], *, update: bool) -> Iterator[str]:
    from streamproc.trials.running import failures_of, result_of, updated

    to_rewrite = []
    for case in cases:
        with redirect_stdout(sys.stderr):
            result = result_of(case)
        failures = failures_of(case, result)
        verdict = FAILED if failures else PASSED
        if update and failures and not result.unexpected:
            left = failures_of(updated(case, result), result)
            if len(left) < len(failures):
                to_rewrite.append((case, result))
                failures, verdict = left, FAILED if left else UPDATED
        _echo(f"{verdict:8}{case.place}: {case.table.name}", verdict)
        for each in failures:
            _tell(each)
        yield verdict
    if to_rewrite:
        from streamproc.trials.rewrite import rewrite

        rewrite(file, to_rewrite)


def _tell(failure: Difference) -> None:
    _echo(f"        {failure.where}")
    if failure.expected is not None:
        _echo(f"          - {failure.expected}", FAILED)
    if failure.got is not None:
        _echo(f"          + {failure.got}", PASSED)


def _echo(text: str, verdict: str = "") -> None:
    colour = _COLOURS.get(verdict) if wants_colours(1) else None
    click.echo(click.style(one_line(text, _SHOWN), fg=colour))
