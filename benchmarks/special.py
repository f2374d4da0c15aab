"""The rows that are not about throughput: waiting, first line, trickle, memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median

from benchmarks.cases import PYTHON, SCRIPTS, STREAMPROC, Bar, Results, Row
from benchmarks.generate import leads_file
from benchmarks.measure import RunError, Sample, Stall, alternate, run, trickle

NONE = [STREAMPROC, "-e", "none"]
IMPORTS = "import asyncio, uvloop, click, orjson, msgspec"


def sleep100(records: int, repeat: int, results: Results) -> None:
    """10 000 records that wait 0.1 s each, 1000 at once: whatever --records is."""
    count, at_once, wait = 10_000, 1000, 0.1
    stage = f"{SCRIPTS / 'stages.py'}:sleep_100ms"
    command = [STREAMPROC, "-e", stage, "-j", str(at_once)]
    many, one = leads_file(count), leads_file(1)
    measured = alternate(
        {
            "10 000 records": lambda warm_up: _lines(run(command, many, inspect=warm_up), count),
            "1 record": lambda _: run(command, one),
        },
        repeat,
        _say("sleep100"),
    )
    start_up = measured["1 record"].seconds - wait
    taken = measured["10 000 records"].seconds - start_up
    ideal = count / (at_once / wait)
    results.rows.append(
        Row(
            f"{count:,} records, `asyncio.sleep(0.1)`, `-j {at_once}`",
            f"ideal {ideal:.1f} s",
            ideal / taken,
            0.95,
            note=f"{taken:.3f} s, start-up of {start_up:.3f} s excluded",
        )
    )
    bar = Bar(
        "sleep100",
        "async def, sleep(0.1), -j 1000",
        "streamproc",
        count,
        measured["10 000 records"],
    )
    results.bars.append(bar)


def start(records: int, repeat: int, results: Results) -> None:
    """`echo '{}' | streamproc -e none`, the whole process. Short, so many times."""
    measured = alternate(
        {
            "streamproc -e none": lambda _: _lines(run(NONE, b"{}\n", inspect=True), 1),
            "python -c import": lambda _: run([PYTHON, "-c", IMPORTS], b""),
        },
        max(15, repeat),
        _say("start"),
    )
    ours, imports = measured["streamproc -e none"], measured["python -c import"]
    results.rows.append(
        Row(
            "first line out (`echo '{}' \\| streamproc -e none`), wall",
            f'`python -c "{IMPORTS}"`',
            ours.seconds / imports.seconds,
            1.4,
            lower_is_better=True,
            note=f"{ours.seconds * 1000:.0f} ms (the line after {ours.first_byte * 1000:.0f} ms) "
            f"against {imports.seconds * 1000:.0f} ms",
        )
    )


def trickling(records: int, repeat: int, results: Results) -> None:
    """100 lines/s for 5 s; the median run, as one late wake-up of the machine is a p99."""
    line = leads_file(1).read_bytes()
    runs = []
    for turn in range(repeat):
        runs.append(sorted(trickle(NONE, line, 100, 5)))
        _say("trickle")(f"{turn + 1}/{repeat}  p99 {_percentile(runs[-1], 0.99) * 1000:.2f} ms")
    p50, p99, worst = (
        median(_percentile(times, share) for times in runs) * 1000 for share in (0.5, 0.99, 1)
    )
    results.rows.append(
        Row(
            "trickle: 100 lines/s, from line in to line out, p99",
            "-",
            p99,
            5,
            unit=" ms",
            lower_is_better=True,
            note=f"p50 {p50:.2f} ms, slowest {worst:.2f} ms",
        )
    )


def memory(records: int, repeat: int, results: Results) -> None:
    """Peak of `-e none`: N records, ten times as many, and N with a reader that stalls.

    Through a pipe, as an endless producer would write; three rounds, as peaks vary little.
    """
    path = leads_file(records)
    stall = Stall(path.stat().st_size // 2, 3.0)
    measured = alternate(
        {
            "N records": lambda _: run(NONE, [path]),
            "10 N records": lambda _: run(NONE, [path] * 10),
            "N, stalled reader": lambda _: run(NONE, [path], stall=stall),
        },
        min(repeat, 3),
        _say("memory"),
    )
    base = measured["N records"].peak_mb
    large, stalled = measured["10 N records"].peak_mb, measured["N, stalled reader"].peak_mb
    few, many = f"{records:,} records", f"{records * 10:,} records"
    # against each other: a peak that shrinks with more records would be as odd as one that grows
    for what, peak in ((many, large), (f"{few}, a reader that stalls for 3 s", stalled)):
        results.rows.append(
            Row(
                f"peak memory, `-e none`, {what}",
                few,
                max(peak, base) / min(peak, base),
                1.05,
                lower_is_better=True,
                note=f"{peak:.1f} MB against {base:.1f} MB",
            )
        )
    results.rows.append(
        Row(
            "peak memory, `-e none`, the highest of these",
            "-",
            max(
                sample.peak_mb
                for samples in measured.values()
                for sample in (samples.first, *samples.runs)
                if sample is not None
            ),
            80,
            unit=" MB",
            lower_is_better=True,
        )
    )


SPECIAL = {"sleep100": sleep100, "start": start, "trickle": trickling, "memory": memory}


def _lines(sample: Sample, expected: int) -> Sample:
    # only a warm-up counts lines; the others have 0
    if sample.lines not in (0, expected) or not sample.bytes_out:
        raise RunError(f"{expected} lines in, {sample.lines} out")
    return sample


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _say(group: str) -> Callable[[str], None]:
    return lambda text: print(f"[{group}] {text}", file=sys.stderr, flush=True)
