"""`python -m benchmarks.compare REF [--rounds 15] [--only NAME] [--most PERCENT]`."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from benchmarks.cases import HERE, PYTHON, environment
from benchmarks.jobs import Job, jobs
from benchmarks.measure import RunError, Samples, alternate

COMMAND = [PYTHON, "-P", "-m", "streamproc"]  # -P: not that of the working directory


def main() -> int:
    """Run each job with this checkout and with that of REF, in turns, and compare their CPU time.

    With the same libraries. Exit code 1 if a job takes more than --most percent more than with
    REF: the least of all rounds, and of as many again for what seems to be slower.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.compare", description=main.__doc__)
    parser.add_argument("ref", metavar="REF", help="a commit, a branch or a tag")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default: 15")
    parser.add_argument("--only", action="append", metavar="NAME", help="repeat it")
    parser.add_argument("--most", type=float, default=5, metavar="PERCENT", help="default: 5")
    options = parser.parse_args()
    if settings := environment():
        print(f"unset {', '.join(settings)} first: they change the runs", file=sys.stderr)
        return 2
    slower = []
    with tempfile.TemporaryDirectory(prefix="streamproc-") as there, jobs() as found:
        check_out(options.ref, Path(there))
        trees = {"here": str(HERE.parent), options.ref: there}
        print(
            f"{'job':22} {'CPU s, least/median':>20} {options.ref:>20} {'least':>8} {'median':>8}"
        )
        for job in found:
            if options.only and job.name not in options.only:
                continue
            try:
                here, other = (race := Race(job, trees)).run(options.rounds)
                if more_percent(here, other) > options.most:
                    here, other = race.run(options.rounds)
            except RunError as problem:  # REF may not know an option
                print(f"{job.name}: {problem}", file=sys.stderr)
                continue
            print(line(job.name, here, other), flush=True)
            if more_percent(here, other) > options.most:
                slower.append(job.name)
    if slower:
        print(f"more than {options.most:g}% slower: {', '.join(slower)}", file=sys.stderr)
    return int(bool(slower))


class Race:
    """One job in several trees, by their names; more rounds make the figures better."""

    def __init__(self, job: Job, trees: dict[str, str]) -> None:
        self._job = job
        self._sides = {
            name: job.runner([*COMMAND, *job.arguments], tree) for name, tree in trees.items()
        }
        self._samples = {name: Samples() for name in trees}

    def run(self, rounds: int) -> list[Samples]:
        """What all rounds so far took, by tree. Raises `RunError`."""
        for name, more in alternate(self._sides, rounds, self._say).items():
            self._samples[name].runs += more.runs
        return list(self._samples.values())

    def _say(self, text: str) -> None:
        print(f"[{self._job.name}] {text}", file=sys.stderr, flush=True)


def more_percent(here: Samples, other: Samples) -> float:
    """How much more CPU time it takes here, at best."""
    return (here.least_cpu / other.least_cpu - 1) * 100


def line(name: str, here: Samples, other: Samples) -> str:
    """For people: below 1 is better here."""
    pairs = [f"{each.least_cpu:.3f}/{each.cpu:.3f}" for each in (here, other)]
    return (
        f"{name:22} {pairs[0]:>20} {pairs[1]:>20} {here.least_cpu / other.least_cpu:>8.3f} "
        f"{here.cpu / other.cpu:>8.3f}"
    )


def check_out(ref: str, folder: Path) -> None:
    """The package as it was at `ref`."""
    command = ["git", "-C", str(HERE.parent), "archive", "--format=tar", ref, "streamproc"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{ref}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    sys.exit(main())
