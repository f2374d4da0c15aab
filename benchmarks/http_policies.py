"""What the policies around an HTTP call promise, on servers that have a bad day.

The servers (`scripts/http_server.py`) say when each request arrived and how it was answered.
Most of this takes long by its nature, so it is measured once, whatever --repeat is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import PYTHON, SCRIPTS, STREAMPROC, Results, Row, peer
from benchmarks.generate import leads_file
from benchmarks.measure import RunError, alternate, run

GOOD = 200
MOMENT = 0.05  # what was on its way may still arrive


@dataclass(slots=True)
class Server:
    """A server that runs, and after it ended what it saw."""

    url: str = ""
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    events: dict[str, float] = field(default_factory=dict)

    def times(self, begin: float, end: float, failed: bool | None = None) -> list[float]:
        return [
            at
            for at, status in self.arrivals
            if begin <= at < end and (failed is None or failed == (status != GOOD))
        ]


@contextmanager
def server(mode: str, *numbers: float) -> Iterator[Server]:
    command = [PYTHON, str(SCRIPTS / "http_server.py"), mode, *map(str, numbers)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    running = Server()
    try:
        running.url = f"http://127.0.0.1:{int(process.stdout.readline())}/c/{{id}}"
        yield running
        process.stdin.close()
        seen = json.loads(process.stdout.readline())
        running.arrivals = [(at, status) for at, status in seen.pop("arrivals")]
        running.events = seen
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def call(path: Path, *arguments: str, under: Sequence[str] = ()) -> dict[str, Any]:
    """Run a stage to its end; its summary. Failed records are no error here: they are counted."""
    command = [*under, STREAMPROC, *arguments, "--summary", "json", "--log-level", "error"]
    with path.open("rb") as source:
        done = subprocess.run(
            command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
    if done.returncode not in (0, 3):
        said = done.stderr.decode(errors="replace")[-2000:].strip()
        raise RunError(f"{' '.join(command)}: exit {done.returncode}: {said}")
    summary: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return summary


def stage(url: str) -> list[str]:
    return ["-e", f"company={url}"]


def waiting(records: int, repeat: int, results: Results) -> None:
    """10 000 records to a service of 100 ms, 500 at once."""
    count, at_once, wait = min(10_000, records), 500, 0.1
    with server("wait", wait) as slow:
        command = [STREAMPROC, *stage(slow.url), "-j", str(at_once)]
        measured = alternate(
            {
                "100 ms": lambda _: run(command, leads_file(count)),
                "100 ms, 1 record": lambda _: run(command, leads_file(1)),
            },
            repeat,
            say,
        )
    start_up = measured["100 ms, 1 record"].seconds - wait
    taken = measured["100 ms"].seconds - start_up
    row(
        results,
        f"{count:,} records, a service of 100 ms, `-j {at_once}`",
        f"ideal {at_once / wait:,.0f} records/s",
        count / taken / (at_once / wait),
        0.95,
        note=f"{taken:.3f} s, start-up of {start_up:.3f} s excluded",
    )


def rate(records: int, repeat: int, results: Results) -> None:
    """`--rate 500/s` for 20 s, as the server counted."""
    per_second, seconds = 500, 20
    with server("wait", 0) as quick:
        call(leads_file(per_second * seconds), *stage(quick.url), "--rate", f"{per_second}/s")
    times = sorted(at for at, _ in quick.arrivals)
    lasted = times[-1] - times[0]
    allowed = per_second * lasted
    largest = max(bisect_left(times, at + 1) - place for place, at in enumerate(times))
    row(
        results,
        f"`--rate {per_second}/s` for {lasted:.1f} s: requests that the server counted",
        f"{allowed:,.0f}",
        abs(len(times) / allowed - 1) * 100,
        1,
        unit=" % off",
        lower=True,
        note=f"{len(times):,}; the most in any second: {largest}",
    )


def adaptive(records: int, repeat: int, results: Results) -> None:
    """Capacity 50 of 100 ms each, 429 above; 60 s, of which the first 30 are for learning."""
    capacity, wait, learning, seconds = 50, 0.1, 30, 60
    limit = "company.concurrency={min=1,max=256}"
    count = int(capacity / wait * seconds * 0.95)
    with server("capacity", capacity, wait) as full:
        call(leads_file(count), *stage(full.url), "--set", limit, "-j", "256")
    begin = full.arrivals[0][0] + learning
    end = max(at for at, status in full.arrivals if status == GOOD) - 2  # the last ones trickle
    good, bad = (len(full.times(begin, end, failed=failed)) for failed in (False, True))
    what = f"adaptive concurrency, a service with room for {capacity} of 100 ms: "
    after = f"from {learning} s to {end - full.arrivals[0][0]:.0f} s"
    ideal = f"ideal {capacity / wait:,.0f} records/s"
    row(
        results,
        f"{what}capacity used",
        ideal,
        good / (capacity / wait * (end - begin)),
        0.85,
        note=after,
    )
    share = 100 * bad / (good + bad)
    row(results, f"{what}429s", "-", share, 5, unit=" %", lower=True, note=after)


def flaky(records: int, repeat: int, results: Results) -> None:
    """A fifth of the requests fail: half by 500, half by a reset, both as late as good answers."""
    count, share = min(20_000, records), 0.2
    path = leads_file(count)
    sides = {
        "no errors": (0.0, []),
        "ordered": (share, []),
        "unordered": (share, ["--unordered"]),
        "10 attempts": (share, ["--unordered", "--retries", "9"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    failed = dict.fromkeys(sides, 0)
    for turn in range(min(repeat, 3)):
        for name, (chance, arguments) in sides.items():
            with server("flaky", chance, 0.005) as one:
                summary = call(path, *stage(one.url), "-j", "64", *arguments)
            seconds[name].append(summary["seconds"])
            failed[name] = max(failed[name], summary["failed"])
            opened = f"circuit opened {summary['circuit_opened']} times"
            say(f"{name}: {turn + 1}  {summary['seconds']:.3f} s, {opened}")
    what = f"{count:,} records, {share:.0%} 500s and resets at random: "
    default = max(failed["ordered"], failed["unordered"])
    row(results, f"{what}failed records, default retries", "-", default, 16, unit="", lower=True)
    ten = failed["10 attempts"]
    row(results, f"{what}failed records, 10 attempts", "-", ten, 0, unit="", lower=True)
    plain = median(seconds["no errors"])
    for name, target in (("ordered", 0.6), ("unordered", 0.6)):
        erring = median(seconds[name])
        note = f"{count / erring:,.0f} records/s against {count / plain:,.0f}"
        row(results, f"{what}5 ms, `-j 64`, {name}", "no errors", plain / erring, target, note=note)


def outages(records: int, repeat: int, results: Results) -> None:
    """The service is away for 20 s in the middle: answers 503, or refuses connections."""
    count, seconds = min(20_000, records), 20
    tracer = peer("strace")
    if tracer is None:
        results.missing.append("strace")
    for mode, name in (("outage", "503 to all"), ("down", "the port closed")):
        with server(mode, count // 2, seconds) as away, tempfile.NamedTemporaryFile("r") as trace:
            trace_it = [tracer, "-f", "-ttt", "-e", "trace=connect", "-o", trace.name]
            under = trace_it if tracer and mode == "down" else []
            summary = call(leads_file(count), *stage(away.url), under=under)
            connects = [float(line.split()[1]) for line in trace if "sa_family=AF_INET" in line]
        what = f"{count:,} records, {seconds} s of {name} in the middle: "
        note = f"{summary['seconds']:.1f} s, circuit opened {summary['circuit_opened']} times"
        failed = summary["failed"]
        row(results, f"{what}failed records", "-", failed, 0, unit="", lower=True, note=note)
        begin = away.events["begin"]
        whatever = f"{what}requests begun {MOMENT * 1000:.0f} ms after the tenth failure"
        if mode == "outage":
            tenth = [at for at, status in away.arrivals if status != GOOD][9]
            late = len(away.times(tenth + MOMENT, begin + seconds))
            row(results, whatever, "-", late, 15, unit="", lower=True)
        elif tracer is None:
            results.rows.append(Row(whatever, "-", None, 15, note="strace is not installed"))
        else:  # no server sees what is refused, nor does the summary count all of it
            closed = away.events["closed"] + time.time() - time.monotonic()
            tried = [at - closed for at in connects if 0 <= at - closed < seconds]
            late = sum(at > MOMENT for at in tried)
            note = f"`connect` by strace, since the port closed: {len(tried)} in all"
            row(results, whatever, "-", late, 15, unit="", lower=True, note=note)


def told(records: int, repeat: int, results: Results) -> None:
    """429 with `Retry-After: 3` to everybody, once."""
    count, seconds = min(20_000, records), 3
    with server("once", count // 2, seconds) as busy:
        summary = call(leads_file(count), *stage(busy.url))
    begin = busy.events["begin"]
    what = f"{count:,} records, `Retry-After: {seconds}` to all in the middle: "
    early = len(busy.times(begin + MOMENT, begin + seconds))
    row(results, f"{what}requests before it is over", "-", early, 0, unit="", lower=True)
    row(results, f"{what}failed records", "-", summary["failed"], 0, unit="", lower=True)


def cached(records: int, repeat: int, results: Results) -> None:
    """100 000 records with 1 000 distinct keys, several of the same at once."""
    count, keys = min(100_000, records), 1000
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(f'{{"id":{number * 7 % keys}}}\n' for number in range(count))
        file.flush()
        with server("wait", 0) as quick:
            call(Path(file.name), *stage(quick.url), "--cache", "1h")
    note = f"{len(quick.arrivals):,} requests"
    what = f"`--cache 1h`, {count:,} records with {keys:,} keys: requests too many"
    row(results, what, "-", abs(len(quick.arrivals) - keys), 0, unit="", lower=True, note=note)


def policies(records: int, repeat: int, results: Results) -> None:
    """All of them; one that fails does not keep the others from being measured."""
    problems = []
    for measure in (waiting, rate, adaptive, flaky, outages, told, cached):
        say(measure.__name__)
        try:
            measure(records, repeat, results)
        except RunError as problem:
            problems.append(f"{measure.__name__}: {problem}")
            results.rows.append(
                Row(f"`http`, {measure.__name__}", "failed, see what it said", None)
            )
    if problems:
        raise RunError("\n".join(problems))


def row(
    results: Results,
    what: str,
    against: str,
    measured: float,
    target: float,
    *,
    unit: str | None = None,
    lower: bool = False,
    note: str = "",
) -> None:
    found = Row(what, against, measured, target, lower_is_better=lower, note=note)
    if unit is not None:
        found.unit = unit
    results.rows.append(found)
    say(f"{what}: {measured:.3f} (target {target:g}) {note}")


def say(text: str) -> None:
    print(f"[http] {text}", file=sys.stderr, flush=True)
