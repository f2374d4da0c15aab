"""HTTP stages against nginx: how many records per second, and against what.

Not `http.py`: scripts that are run from this folder would import that for the library's `http`.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases import PYTHON, SCRIPTS, STREAMPROC, Bar, Kind, Results, Row, peer
from benchmarks.generate import leads_file
from benchmarks.measure import RunError, Sample, alternate, run
from benchmarks.report import own_peak_mb

AT_ONCE = "64"
SHARE = 0.2  # of --records: 200 000
BODY = '{"name":"Example Ltd","industry":"tools","employees":1,"country":"US"}'
ALL_POLICIES = """
[[stage]]
name = "company"
deadline = "60s"
retry = {{ attempts = 5 }}
breaker = {{ consecutive = 10 }}
rate = "1000000/s"
concurrency = {{ min = 64, max = 64, start = 64 }}
cache = {{ ttl = "1h", max_entries = 1000 }}
fallback = [ {{ value = {{ name = "unknown" }} }} ]
http = {{ url = "{url}", client = "lean" }}
"""
NO_POLICIES = """
[[stage]]
name = "company"
retry = false
breaker = false
http = {{ url = "{url}", client = "lean" }}
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type application/json;
    keepalive_requests 1000000000; keepalive_timeout 1h;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{body}'; }} }}
}}
"""


@contextmanager
def nginx(command: str) -> Iterator[str]:
    """One worker that answers everything with the same 70 bytes; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, body=BODY), "utf-8")
        log = Path(folder) / "error.log"
        process = subprocess.Popen(
            [command, "-p", folder, "-e", str(log), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _until_it_listens(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RunError(f"nginx: exit {process.returncode}: {log.read_text()[-500:].strip()}")
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise RunError("nginx does not listen")


def speed(records: int, repeat: int, results: Results) -> None:
    """200 000 records, `-j 64`, ordered; the usual script has a fifth of them, as it takes long."""
    where = peer("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if where is None:
        results.missing.append("nginx")
        advice = "nginx is not installed: apt-get install nginx-light"
        results.rows.append(Row("http stage", "-", None, 6, note=advice))
        return
    with nginx(where) as base, tempfile.TemporaryDirectory(prefix="http-") as folder:
        # first: no peak is below that of the process that measures, which only grows
        _memory(f"{base}/c/{{id}}", records, repeat, results)
        _compare(f"{base}/c/{{id}}", Path(folder), max(1, int(records * SHARE)), repeat, results)


def _compare(url: str, folder: Path, total: int, repeat: int, results: Results) -> None:
    few = max(1, total // 5)
    sides: dict[str, tuple[Kind, list[str], int]] = {
        "lean": ("streamproc", _stage(url, "lean"), total),
        "aiohttp": ("streamproc", _stage(url, "aiohttp"), few),
        "all policies on, none acting": ("streamproc", _file(folder, "all", url), total),
        "no retries, no breaker": ("streamproc", _file(folder, "bare", url), total),
        "user_http": ("peer", _script("user_http", url), few),
        "raw_http": ("raw", _script("raw_http", url), total),
    }
    if where := peer("curl"):
        urls = folder / "urls"
        with urls.open("w") as file:  # line by line: this process has to stay small
            file.writelines(f'url="{url.format(id=n + 1)}"\n' for n in range(total))
        curl = [where, "-s", "--parallel", "--parallel-max", AT_ONCE, "-K", str(urls)]
        sides["curl --parallel"] = ("peer", curl, total)
    else:
        results.missing.append("curl")
    for _, _, count in sides.values():
        leads_file(count)

    def runner(name: str) -> Callable[[bool], Sample]:
        _, command, count = sides[name]
        return lambda warm_up: _checked(
            name, count, run(command, leads_file(count), inspect=warm_up)
        )

    measured = alternate({name: runner(name) for name in sides}, repeat, _say)
    for counted in (total, few):
        digests = {
            samples.first.digest
            for name, samples in measured.items()
            if sides[name][2] == counted and samples.first and not name.startswith("curl")
        }
        if len(digests) > 1:
            raise RunError(f"the commands with {counted} records do not write the same bytes")
    bars = {
        name: Bar("http", name, kind, count, measured[name])
        for name, (kind, _, count) in sides.items()
    }
    results.bars += bars.values()
    for side, against, target in (
        ("lean", "user_http", 6),
        ("lean", "curl --parallel", 1.5),
        ("lean", "raw_http", 0.45),
        ("aiohttp", "user_http", 1.3),
        ("all policies on, none acting", "no retries, no breaker", 0.75),
    ):
        what = f"http stage, {side}, nginx, `-j {AT_ONCE}`"
        if against not in bars:
            results.rows.append(Row(what, f"`{against}`", None, target, note="not installed"))
            continue
        ratio = bars[side].per_second / bars[against].per_second
        fewer = "" if bars[against].records == total else f"{few:,} records, rates compared"
        results.rows.append(Row(what, f"`{against}`", ratio, target, note=fewer))


def _memory(url: str, records: int, repeat: int, results: Results) -> None:
    """Ten times the records, through a pipe: three rounds, as peaks vary little."""
    few, many = max(1, records // 10), max(10, records)
    command = _stage(url, "lean")
    measured = alternate(
        {
            "memory, few": lambda _: run(command, [leads_file(few)]),
            "memory, many": lambda _: run(command, [leads_file(many)]),
        },
        min(repeat, 3),
        _say,
    )
    small, large = measured["memory, few"].peak_mb, measured["memory, many"].peak_mb
    if small < own_peak_mb() * 1.02:
        raise RunError(f"peaks of {small:.1f} MB are those of the measuring process: no result")
    results.rows.append(
        Row(
            f"peak memory, http stage, {many:,} records",
            f"{few:,} records",
            large / small,
            1.05,
            lower_is_better=True,
            note=f"{large:.1f} MB against {small:.1f} MB",
        )
    )


def _stage(url: str, client: str) -> list[str]:
    setting = f"company.http.client={client}"
    return [STREAMPROC, "-e", f"company={url}", "--set", setting, "-j", AT_ONCE]


def _file(folder: Path, name: str, url: str) -> list[str]:
    path = folder / f"{name}.toml"
    text = ALL_POLICIES if name == "all" else NO_POLICIES
    path.write_text(text.format(url=url), "utf-8")
    return [STREAMPROC, "-c", str(path), "-j", AT_ONCE]


def _script(name: str, url: str) -> list[str]:
    return [PYTHON, str(SCRIPTS / f"{name}.py"), url, AT_ONCE]


def _checked(name: str, count: int, sample: Sample) -> Sample:
    """A command that does less than the others is not faster. Raises `RunError`."""
    if name.startswith("curl"):
        if sample.bytes_out != count * len(BODY):
            raise RunError(f"{name}: {count} URLs, {sample.bytes_out} bytes")
    elif sample.lines not in (0, count) or not sample.bytes_out:  # only a warm-up counts lines
        raise RunError(f"{name}: {count} lines in, {sample.lines} out")
    return sample


def _say(text: str) -> None:
    print(f"[http] {text}", file=sys.stderr, flush=True)
