"""`python -m benchmarks.rows [--rounds 7] [--only NAME]`: the jobs, and what they took before."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.cases import HERE, STREAMPROC, environment
from benchmarks.jobs import Job, jobs
from benchmarks.measure import RunError, Samples, alternate
from benchmarks.report import machine
from streamproc.version import __version__

HISTORY = HERE / "history.jsonl"


def main() -> int:
    """Print a row for each job, beside the last one of such a machine, and keep them."""
    parser = argparse.ArgumentParser("python -m benchmarks.rows", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default: 7")
    parser.add_argument("--only", action="append", metavar="NAME", help="repeat it; keeps nothing")
    options = parser.parse_args()
    if settings := environment():
        print(f"unset {', '.join(settings)} first: they change the runs", file=sys.stderr)
        return 2
    before = last(HISTORY, machine())
    print(HEAD)
    rows: dict[str, Any] = {}
    failed = False
    with jobs() as found:
        for job in found:
            if options.only and job.name not in options.only:
                continue
            try:
                rows[job.name] = measured(job, options.rounds)
            except RunError as problem:  # the other jobs are worth having all the same
                failed = True
                print(f"{job.name}: {problem}", file=sys.stderr)
            else:
                print(line(job, rows[job.name], before.get(job.name)), flush=True)
    if not options.only and not failed:
        keep(HISTORY, rows)
    return int(failed)


def measured(job: Job, rounds: int) -> dict[str, Any]:
    """Seconds of one job: least and median, by the clock and of CPU, and those of its limit."""
    sides = {"streamproc": job.runner([STREAMPROC, *job.arguments])}
    if job.limit is not None:
        sides["limit"] = job.runner(job.limit)
    samples = alternate(sides, rounds, lambda text: print(f"[{job.name}] {text}", file=sys.stderr))
    row = {"records": job.records, **seconds(samples["streamproc"])}
    return row | ({"limit": seconds(samples["limit"])} if job.limit is not None else {})


def seconds(samples: Samples) -> dict[str, list[float]]:
    """Least and median."""
    both = {"wall_s": (samples.least_seconds, samples.seconds),
            "cpu_s": (samples.least_cpu, samples.cpu)}  # fmt: skip
    return {name: [round(each, 3) for each in pair] for name, pair in both.items()}


HEAD = (
    f"{'job':22} {'records':>9} {'wall s':>14} {'CPU s':>14} {'µs/record':>10} "
    f"{'of limit':>8} {'before':>7}"
)


def line(job: Job, row: dict[str, Any], before: dict[str, Any] | None) -> str:
    """For people. `of limit` and `before` compare the least CPU, of a record where their number
    has changed; for several processes `of limit` compares the clock's. More than 1 is better.
    """
    cpu_s = row["cpu_s"][0]
    pairs = ["/".join(f"{each:.2f}" for each in row[key]) for key in ("wall_s", "cpu_s")]
    limit = f"{row['limit'][job.by][0] / row[job.by][0]:.2f}" if "limit" in row else "-"
    each_us = cpu_s / row["records"] * 1e6
    before_us = before["cpu_s"][0] / before["records"] * 1e6 if before else 0.0
    earlier = f"{before_us / each_us:.2f}" if before else "-"
    return (
        f"{job.name:22} {row['records']:>9,} {pairs[0]:>14} {pairs[1]:>14} {each_us:>10,.1f} "
        f"{limit:>8} {earlier:>7}"
    )


def last(history: Path, machine_class: str) -> dict[str, Any]:
    """The rows that such a machine had last, none if there are none."""
    lines = history.read_text("utf-8").splitlines() if history.exists() else []
    entries = [entry for entry in map(json.loads, lines) if entry["machine"] == machine_class]
    rows: dict[str, Any] = entries[-1]["rows"] if entries else {}
    return rows


def keep(history: Path, rows: dict[str, Any]) -> None:
    """One line more."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    entry = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "version": __version__,
        "commit": commit,
        "rows": rows,
    }
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
