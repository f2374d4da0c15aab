"""Peak memory behind a record that hangs: 1,000 answers of 9 MiB, 9 KB each on the wire."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.cases import STREAMPROC, Results, Row
from benchmarks.measure import run
from benchmarks.report import own_peak_mb

COUNT = 1000
HANG_S = 10.0  # by then memory is used up, and whoever had to wait waits
BODY_BYTES = 9 << 20
MOST_MB = 300


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b""

    def do_GET(self) -> None:
        if self.path == "/0":
            threading.Event().wait(HANG_S)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def _server() -> Iterator[str]:
    _Answers.body = gzip.compress(b'{"d":"%b"}' % (b"x" * BODY_BYTES))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def behind_a_head(records: int, repeat: int, results: Results) -> None:
    """Once: it writes 9 GB, and its peak varies little. Of workers the largest process counts."""
    floor_mb = own_peak_mb()
    lines = b"".join(b'{"n":%d}\n' % n for n in range(COUNT))
    for workers in (1, 2):
        with _server() as url:
            command = [STREAMPROC, "-e", f"x={url}/{{n}}", "-w", str(workers), "--timeout", "300"]
            sample = run(command, lines)
        print(f"[memory-http] -w {workers}: {sample.peak_mb:.0f} MB", file=sys.stderr)
        what = "one process" if workers == 1 else f"the largest of {workers} workers and parent"
        results.rows.append(
            Row(
                f"peak memory, {COUNT:,} answers of 9 MiB behind one that hangs, {what}",
                "-",
                sample.peak_mb,
                MOST_MB,
                unit=" MB",
                lower_is_better=True,
                note=f"9 KB each on the wire; not below {floor_mb:.0f} MB, the measuring process",
            )
        )
