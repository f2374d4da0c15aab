"""What is measured again and again: a few jobs of every kind, in some minutes."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.cases import PYTHON, SCRIPTS, STREAMPROC, peer
from benchmarks.generate import leads_file
from benchmarks.http_speed import ALL_POLICIES, AT_ONCE, nginx
from benchmarks.measure import RunError, Sample, run
from benchmarks.special import IMPORTS

STAGES = SCRIPTS / "stages.py"


@dataclass(slots=True)
class Job:
    """`records` leads through `streamproc ARGUMENTS`, and through what is near its limit.

    `by` is what the two are compared by: several processes are there for the clock's sake.
    """

    name: str
    records: int
    arguments: list[str]
    limit: list[str] | None = None
    by: Literal["cpu_s", "wall_s"] = "cpu_s"

    def runner(self, command: list[str], path: str | None = None) -> Callable[[bool], Sample]:
        """Runs `command` between two pipes, with modules from `path`. Checks what comes out."""

        def once(warm_up: bool) -> Sample:
            sample = run(command, [leads_file(self.records)], inspect=warm_up, path=path)
            if warm_up and sample.lines != self.records:
                raise RunError(f"{self.name}: {self.records} lines in, {sample.lines} out")
            return sample

        return once


@contextmanager
def jobs() -> Iterator[list[Job]]:
    """All of them, while a server runs for those that need one, if there is nginx."""
    work = ["-e", f"{STAGES}:work_50us"]
    alone = [STREAMPROC, *work, "-w", "1"]
    found = [
        Job("leads", 20_000, ["-e", "leads"], _script("raw_leads"), "wall_s"),
        Job("leads -w 1", 10_000, ["-e", "leads", "-w", "1"], _script("raw_leads")),
        Job("none", 1_000_000, ["-e", "none"], _script("raw_loads")),
        Job("def", 1_000_000, ["-e", f"{STAGES}:add"], _script("raw_add")),
        Job("async def", 1_000_000, ["-e", f"{STAGES}:never_waits"], _script("raw_add")),
        Job("def of 50 µs -w 2", 100_000, [*work, "-w", "2"], _script("halves", *alone), "wall_s"),
        Job("start", 1, ["-e", "none"], [PYTHON, "-c", f"{IMPORTS}; print()"]),
    ]
    with ExitStack() as stack:
        where = peer("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if where is None:
            print("no http: apt-get install nginx-light", file=sys.stderr)
        else:
            url = f"{stack.enter_context(nginx(where))}/c/{{id}}"
            policies = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "p.toml"
            policies.write_text(ALL_POLICIES.format(url=url), "utf-8")
            raw = _script("raw_http", url, AT_ONCE)
            found += [
                Job("http", 100_000, ["-e", f"company={url}"], raw),
                Job("http, all policies", 100_000, ["-c", str(policies)], raw),
            ]
        for job in found:
            leads_file(job.records)  # all of them before the first measurement
        yield found


def _script(name: str, *arguments: str) -> list[str]:
    return [PYTHON, str(SCRIPTS / f"{name}.py"), *arguments]
