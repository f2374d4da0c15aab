"""`python -m benchmarks [--records N] [--repeat 5] [--kills N] [--only NAME]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.cases import HERE, STREAMPROC, Results, Row, compare, environment, groups
from benchmarks.durability import durability, kills
from benchmarks.http_policies import policies
from benchmarks.http_speed import speed
from benchmarks.kafka import kafka
from benchmarks.measure import RunError
from benchmarks.memory import behind_a_head
from benchmarks.special import SPECIAL
from benchmarks.watching import watching
from benchmarks.workers import workers

# what --only calls them: more than two sides in turns
SPECIAL = SPECIAL | {
    "http": speed,
    "http-policies": policies,
    "memory-http": behind_a_head,
    "workers": workers,
    "watching": watching,
    "durability": durability,
    "kafka": kafka,
}
KILLS = "kills"


def main() -> int:
    """Measure, print the page, and write it unless only a part was measured."""
    table = {group.name: group for group in groups()}
    names = [*table, *SPECIAL, KILLS]
    options = _options(names)
    if not Path(STREAMPROC).exists():
        print(f"{STREAMPROC} is not there: `make install` first", file=sys.stderr)
        return 2
    if settings := environment():
        print(f"unset {', '.join(settings)} first: they change the runs", file=sys.stderr)
        return 2
    results = Results()
    failed = False
    for name in options.only or names:
        try:
            if name in table:
                compare(table[name], options.records, options.repeat, results)
            elif name == KILLS:
                kills(options.kills, results)
            else:
                SPECIAL[name](options.records, options.repeat, results)
        except RunError as problem:  # the other groups are worth having all the same
            failed = True
            results.rows.append(Row(f"`{name}`", "failed, see what it said", None))
            print(f"[{name}] failed: {problem}", file=sys.stderr)
    page = report.markdown(results, options.records, options.repeat)
    print(page)
    if options.only:
        print("a part was measured: nothing is written", file=sys.stderr)
        return int(failed)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.md").write_text(page, "utf-8")
    try:
        report.plot(results, options.output / "results.svg")
    except ImportError:
        print("no plot: pip install -r benchmarks/requirements.txt", file=sys.stderr)
        return 1
    return int(failed)


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "--records", type=_positive, default=1_000_000, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--repeat", type=_positive, default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--kills",
        type=_positive,
        default=20,
        metavar="N",
        help="random kill -9, ordered and unordered; half as many of workers; default: "
        "%(default)s, all: 200",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help=f"one of {', '.join(names)}; repeat it; prints only",
    )
    parser.add_argument(
        "--output", type=Path, default=HERE, metavar="DIR", help="default: benchmarks/"
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
