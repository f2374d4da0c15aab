"""A case runs: the real pipeline, with scripted answers, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from streamproc.assembly import Endpoints
from streamproc.assembly.endpoints import source_of
from streamproc.codec import decode
from streamproc.errors import StreamprocError
from streamproc.testing import MemorySink, MemorySource
from streamproc.trials.cases import Case
from streamproc.trials.clock import simulate
from streamproc.trials.differences import Difference, differences_of, in_brief
from streamproc.types import Record


class Result(Struct, frozen=True):
    """What came of a case: `lines` as they were written, and how the run ended.

    `error` is what ended it early, `unexpected` are calls that no answer was for.
    """

    lines: list[bytes]
    exit_code: int
    error: str
    calls: Mapping[str, int]
    unexpected: list[str]

    @property
    def records(self) -> list[Record]:
        """The lines, parsed."""
        return [decode(line) for line in self.lines]


def result_of(case: Case) -> Result:
    """Run it. The same every time: chance, as in back-offs, begins with the same seed."""
    random.seed(case.table.name)
    sink = MemorySink()
    error = ""
    try:
        exit_code = simulate(_run(case, sink))
    except StreamprocError as raised:
        exit_code, error = raised.exit_code, str(raised)
    return Result(sink.lines, exit_code, error, case.script.calls, case.script.unexpected)


async def _run(case: Case, sink: MemorySink) -> int:
    settings = case.pipeline.settings
    source = (
        MemorySource(case.input)
        if isinstance(case.input, list)
        else source_of(settings, [case.input])
    )
    letters = None if settings.dead_letter is None else MemorySink()
    summary = await case.pipeline.run_between(Endpoints(settings, source, sink, letters))
    return summary.exit_code


def failures_of(case: Case, result: Result) -> list[Difference]:
    """How the result differs from what the case expects."""
    return list(_failures_of(case, result))


def updated(case: Case, result: Result) -> Case:
    """The case, expecting what came out."""
    return structs.replace(case, expected=[in_brief(record) for record in result.records])


def _failures_of(case: Case, result: Result) -> Iterator[Difference]:
    table = case.table
    if not (table.expect_calls or table.expect_exit_code or case.expected is not None):
        yield Difference("it expects nothing: add expect, or let --update do it")
    for call in dict.fromkeys(result.unexpected):
        yield Difference(f"unexpected call of {call}")
    if table.expect_exit_code is not None:
        if result.exit_code != table.expect_exit_code:
            yield Difference("exit code", str(table.expect_exit_code), str(result.exit_code))
    elif result.error:
        yield Difference(f"ended with exit code {result.exit_code}: {result.error}")
    for stage, number in table.expect_calls.items():
        if result.calls.get(stage, 0) != number:
            yield Difference(f"calls of {stage}", str(number), str(result.calls.get(stage, 0)))
    if case.expected is not None:
        yield from differences_of(
            case.expected, result.records, ordered=case.pipeline.settings.ordered
        )
