"""What it costs a run to be watched: CPU seconds of its process, watched and not.

Several times --records where a record takes little: what a run does once, as loading the monitor's
server, is not what is asked for here.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.cases import SCRIPTS, STREAMPROC, Results, Row, peer
from benchmarks.generate import leads_file
from benchmarks.http_speed import AT_ONCE, nginx
from benchmarks.measure import Sample, alternate, run

COPIES = 5
SHARE = 0.2  # of --records, for http stages
FAILED = 1_000  # one of so many, where memory is measured
CLIENTS = 50
EVERY_S = 1.0
PATIENCE_S = 60.0
STAGES = SCRIPTS / "stages.py"
HANGS = f"""
[[on]]
event = "*"
python = "{STAGES}:hang"
"""


@dataclass(slots=True)
class Side:
    """A way to run a job: more arguments, variables, and who watches at `address` meanwhile."""

    arguments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    watchers: list[Callable[[str, threading.Event], None]] = field(default_factory=list)


def watching(records: int, repeat: int, results: Results) -> None:
    """The monitor, traces, and those who are in nobody's way: a hook, a receiver, readers."""
    _memory(records, results)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watching-")))
        (folder / "hook.toml").write_text(HANGS, "utf-8")
        many = [leads_file(records)] * COPIES
        jobs = {"-e none": (["-e", "none"], many), "plain `def`": (["-e", f"{STAGES}:add"], many)}
        where = peer("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if where is None:
            results.missing.append("nginx")
        else:
            url = f"{stack.enter_context(nginx(where))}/c/{{id}}"
            some = [leads_file(max(1, int(records * SHARE)))]
            jobs["http stage"] = (["-e", f"company={url}", "-j", AT_ONCE], some)
        monitored = Side(["--monitor", "ADDRESS"], {}, [scrape, follow])
        for name, (arguments, files) in jobs.items():
            sides = {
                "off": (Side(), None),
                "`--monitor`, scraped each second, its page open": (monitored, 0.9),
                f"{CLIENTS} clients of `/events` that do not read": (
                    Side(["--monitor", "ADDRESS"], {}, [ignore] * CLIENTS), 0.9,
                ),
                "a hook that hangs": (Side(["-c", str(folder / "hook.toml")]), 0.9),
            }  # fmt: skip
            if name == "http stage":
                receiver = stack.enter_context(_receiver())
                sides |= {
                    "`--trace`, 1%": (_traced(receiver), 0.95),
                    "`--trace`, 100%": (_traced(receiver, "always_on"), 0.1),
                    "`--trace`, nobody receives": (_traced("http://127.0.0.1:9"), 0.9),
                }
            _compare(name, arguments, files, sides, repeat, results)


def _traced(url: str, sampler: str = "") -> Side:
    chosen = {"OTEL_TRACES_SAMPLER": sampler} if sampler else {}
    return Side(["--trace"], {"OTEL_EXPORTER_OTLP_ENDPOINT": url} | chosen)


def _compare(
    name: str, arguments: list[str], files: list[Path], sides: dict[str, tuple[Side, float | None]],
    repeat: int, results: Results,
) -> None:  # fmt: skip
    def runner(side: Side) -> Callable[[bool], Sample]:
        return lambda _: _run([STREAMPROC, *arguments, *side.arguments], files, side)

    measured = alternate({key: runner(side) for key, (side, _) in sides.items()}, repeat, _say)
    off = measured["off"].least_cpu
    for key, (_, target) in sides.items():
        if target is not None:
            cpu_s = measured[key].least_cpu
            note = f"{cpu_s:.2f} s of CPU against {off:.2f} s"
            results.rows.append(Row(f"{name}, {key}", "off", off / cpu_s, target, note=note))


def _memory(records: int, results: Results) -> None:
    """Ten times --records against a tenth of it, one of 1,000 failing."""
    side = Side(["--monitor", "ADDRESS"], {}, [scrape, follow])
    command = [STREAMPROC, "-e", f"{STAGES}:fail_some", "--on-error", "drop", *side.arguments]
    few, many = (
        _run(command, files, side, code=3).peak_mb
        for files in ([leads_file(max(FAILED, records // 10))], [leads_file(records)] * 10)
    )
    results.rows.append(
        Row(
            f"peak memory with `--monitor`, {10 * records:,} records, one of {FAILED:,} failed",
            f"{max(FAILED, records // 10):,} records",
            many - few * 1.05,
            10,
            unit=" MB more than 1.05×",
            lower_is_better=True,
            note=f"{many:.1f} MB against {few:.1f} MB",
        )
    )


def _run(command: list[str], files: list[Path], side: Side, code: int = 0) -> Sample:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    is_over = threading.Event()
    watchers = [threading.Thread(target=watch, args=(address, is_over)) for watch in side.watchers]
    for each in watchers:
        each.start()
    try:
        there = [address if each == "ADDRESS" else each for each in command]
        return run(there, files, variables=side.variables, code=code)
    finally:
        is_over.set()
        for each in watchers:
            each.join()


# Who watches


def scrape(address: str, is_over: threading.Event) -> None:
    """Ask for the metrics, again and again, as Prometheus does. It may not run yet, or any more."""
    while not is_over.wait(EVERY_S):
        try:
            urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S).read()
        except (OSError, HTTPException):
            continue


def follow(address: str, is_over: threading.Event) -> None:
    """Read all events, as the page does, and parse them."""
    while not is_over.wait(EVERY_S / 10):
        try:
            with urllib.request.urlopen(f"http://{address}/events", timeout=PATIENCE_S) as events:
                for line in events:
                    if line.startswith(b"data: "):
                        json.loads(line[6:])
        except (OSError, HTTPException):
            continue


def ignore(address: str, is_over: threading.Event) -> None:
    """Ask for events, and read none of them."""
    host, _, port = address.partition(":")
    while not is_over.wait(EVERY_S / 10):
        try:
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                is_over.wait()
        except OSError:
            continue


class _Receives(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def _receiver() -> Iterator[str]:
    """Takes traces, and forgets them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receives) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _say(text: str) -> None:
    print(f"[watching] {text}", file=sys.stderr, flush=True)
