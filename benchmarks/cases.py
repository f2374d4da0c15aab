"""The rows of the table that compare throughput: who runs what, against whom, how many."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.generate import leads_file
from benchmarks.measure import RunError, Sample, Samples, alternate, run

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
PYTHON = sys.executable
STREAMPROC = str(Path(sys.executable).parent / "streamproc")

TIMES = "×"

Kind = Literal["streamproc", "raw", "peer"]


@dataclass(slots=True)
class Side:
    """A command of a group. `share` of the group's records, for peers that would take long."""

    name: str
    kind: Kind
    command: list[str]
    share: float = 1.0
    same_bytes: bool = True  # the output is that of the other sides, byte for byte


@dataclass(slots=True)
class Claim:
    """A ratio of records per second; without a target it is printed for information."""

    what: str
    side: str
    against: str
    target: float | None = None


@dataclass(slots=True)
class Group:
    """Commands that are measured in turns, and what is claimed of them."""

    name: str
    share: float  # of --records
    sides: list[Side]
    claims: list[Claim]


@dataclass(slots=True)
class Row:
    """One line of the results: `measured` against `target`, better when higher or lower."""

    what: str
    against: str
    measured: float | None  # None: a side is missing
    target: float | None = None
    unit: str = TIMES
    lower_is_better: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        if self.measured is None or self.target is None:
            return None
        if self.lower_is_better:
            return self.measured <= self.target
        return self.measured >= self.target


@dataclass(slots=True)
class Bar:
    """Raw figures of one command."""

    group: str
    name: str
    kind: Kind
    records: int
    samples: Samples

    @property
    def per_second(self) -> float:
        return self.records / self.samples.seconds


@dataclass(slots=True)
class Results:
    """What the groups found."""

    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def peer(name: str) -> str | None:
    """Where a peer is: installed by peers.sh, else on the PATH."""
    return shutil.which(name, path=str(HERE / "peers" / "bin")) or shutil.which(name)


def groups() -> list[Group]:
    """All of them. A peer that is not installed has no command."""
    return [
        Group(
            "none",
            1.0,
            [
                Side("streamproc -e none", "streamproc", [STREAMPROC, "-e", "none"]),
                _raw("raw_validate"),
                _raw("raw_loads"),
                _peer("jq", "-c", ".", share=0.5),
                _peer("jaq", "-c", ".", share=0.5),
                _peer("gojq", "-c", ".", share=0.2),
                _peer("mlr", "--ijsonl", "--ojsonl", "cat", share=0.2),
            ],
            [
                Claim("`-e none`", "streamproc -e none", "raw_loads", 1.5),
                Claim("`-e none`", "streamproc -e none", "jq -c .", 12),
                Claim("`-e none`", "streamproc -e none", "jaq -c .", 6),
                Claim("`-e none`", "streamproc -e none", "gojq -c ."),
                Claim("`-e none`", "streamproc -e none", "mlr --ijsonl --ojsonl cat"),
                Claim("`-e none`", "streamproc -e none", "raw_validate"),
            ],
        ),
        Group(
            "add",
            1.0,
            [
                _stage("def", "add"),
                _stage("def, returns its argument", "add_to_argument"),
                _stage("async def, never waits", "never_waits"),
                _raw("raw_add"),
            ],
            [
                Claim("plain `def` adding a field", "def", "raw_add", 0.95),
                Claim("plain `def` returning its argument", "def, returns its argument", "raw_add"),
                Claim(
                    "`async def` that never waits, `-j 64`, timeouts on",
                    "async def, never waits",
                    "raw_add",
                    0.60,
                ),
            ],
        ),
        Group(
            "sleep0",
            0.2,
            [_stage("async def, sleep(0)", "sleep_0"), _raw("user_asyncio")],
            [
                Claim(
                    "`async def` with `asyncio.sleep(0)`, `-j 64`",
                    "async def, sleep(0)",
                    "user_asyncio",
                    2,
                )
            ],
        ),
        Group(
            "leads",
            0.02,
            [
                Side("streamproc -e leads", "streamproc", [STREAMPROC, "-e", "leads"]),
                _raw("raw_leads"),
            ],
            [Claim("`leads`, one process", "streamproc -e leads", "raw_leads", 0.85)],
        ),
    ]


def compare(group: Group, records: int, repeat: int, results: Results) -> None:
    """Measure the sides of a group in turns and add what came of it to `results`."""
    total = max(1, int(records * group.share))
    present = [side for side in group.sides if side.command]
    results.missing += [side.name.split()[0] for side in group.sides if not side.command]
    counts = {side.name: max(1, int(total * side.share)) for side in present}
    for count in counts.values():
        leads_file(count)  # all of them before the first measurement

    def runner(side: Side) -> Callable[[bool], Sample]:
        path = leads_file(counts[side.name])
        return lambda warm_up: run(side.command, path, inspect=warm_up)

    measured = alternate(
        {side.name: runner(side) for side in present},
        repeat,
        lambda text: print(f"[{group.name}] {text}", file=sys.stderr, flush=True),
    )
    _check_outputs(present, counts, measured)
    bars = {
        side.name: Bar(group.name, side.name, side.kind, counts[side.name], measured[side.name])
        for side in present
    }
    results.bars += bars.values()
    for claim in group.claims:
        results.rows.append(_row(claim, bars, total))


def _row(claim: Claim, bars: dict[str, Bar], total: int) -> Row:
    against = f"`{claim.against}`"
    if claim.against not in bars:
        name = claim.against.split()[0]
        return Row(claim.what, against, None, claim.target, note=f"{name} is not installed")
    side, other = bars[claim.side], bars[claim.against]
    fewer = "" if other.records == total else f"{other.records:,} records, rates compared"
    ratio = side.per_second / other.per_second
    return Row(claim.what, against, ratio, claim.target, note=fewer)


def _check_outputs(sides: list[Side], counts: dict[str, int], measured: dict[str, Samples]) -> None:
    """A command that does less than the others is not faster. Raises `RunError`."""
    digests: dict[str, str] = {}
    for side in sides:
        sample: Sample | None = measured[side.name].first
        assert sample is not None
        if sample.lines != counts[side.name]:
            raise RunError(f"{side.name}: {counts[side.name]} lines in, {sample.lines} out")
        if side.same_bytes:
            digests[side.name] = sample.digest
    if len(set(digests.values())) > 1:
        raise RunError(f"these do not write the same bytes: {', '.join(digests)}")


def _raw(script: str) -> Side:
    return Side(script, "raw", [PYTHON, str(SCRIPTS / f"{script}.py")])


def _stage(name: str, function: str) -> Side:
    stage = f"{SCRIPTS / 'stages.py'}:{function}"
    # 64 and 30 s are the defaults; they stand here because the claims name them
    command = [STREAMPROC, "-e", stage, "-j", "64", "--timeout", "30"]
    return Side(name, "streamproc", command)


def _peer(name: str, *arguments: str, share: float) -> Side:
    where = peer(name)
    command = [where, *arguments] if where else []
    return Side(" ".join([name, *arguments]), "peer", command, share, same_bytes=False)


def environment() -> dict[str, str]:
    """The variables that would change what streamproc does."""
    return {key: value for key, value in os.environ.items() if key.startswith("STREAMPROC_")}
