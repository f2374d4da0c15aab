"""Worker processes: what a second one brings, and what the parent costs."""

from __future__ import annotations

from benchmarks.cases import SCRIPTS, STREAMPROC, Bar, Claim, Group, Results, Row, Side, compare
from benchmarks.measure import RunError

WORK = f"{SCRIPTS / 'stages.py'}:work_50us"


def workers(records: int, repeat: int, results: Results) -> None:
    """`-w 2` against `-w 1`, start of the workers included; the same bytes come out."""
    for name, stage, share, target in (
        ("plain `def` of about 50 µs", WORK, 0.1, 1.75),
        ("`-e leads`", "leads", 0.05, 1.7),
        ("`-e none`", "none", 1.0, 0.9),
    ):
        one, two = f"{name.replace('`', '')}, -w 1", f"{name.replace('`', '')}, -w 2"
        group = Group(
            "workers",
            share,
            [
                Side(one, "streamproc", [STREAMPROC, "-e", stage, "-w", "1"]),
                Side(two, "streamproc", [STREAMPROC, "-e", stage, "-w", "2"]),
            ],
            [Claim(f"{name}, `-w 2`", two, one, target)],
        )
        compare(group, records, repeat, results)
        if stage == WORK:
            bar = _bar(results, one)
            each = bar.samples.cpu / bar.records * 1e6
            results.rows[-1].note = f"{each:.0f} µs of CPU for each record with `-w 1`"
        results.rows[-1].against = "`-w 1`"
        if stage == "leads":
            _parent(_bar(results, two), results)


def _parent(bar: Bar, results: Results) -> None:
    runs = bar.samples.runs
    for sample in runs:
        if not 0 < sample.own_cpu < sample.cpu:
            raise RunError("the kernel does not tell the parent from its workers")
    results.rows.append(
        Row(
            "CPU time of the parent, `-e leads -w 2`",
            "parent and workers",
            bar.samples.own_share * 100,
            10,
            unit=" %",
            lower_is_better=True,
            note=f"{runs[0].own_cpu:.2f} s of {runs[0].cpu:.2f} s in one run",
        )
    )


def _bar(results: Results, name: str) -> Bar:
    return next(bar for bar in reversed(results.bars) if bar.name == name)
