"""Answers count as memory while their records wait, so that peak memory is bounded."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S

BODY = b'{"d":"' + b"x" * (9 << 20) + b'"}'
COUNT = 24
MOST_MB = 300


class Big(BaseHTTPRequestHandler):
    """Answers with 9 MiB, and to record 0 when all others have asked."""

    protocol_version = "HTTP/1.1"
    body = BODY
    encoding = ""
    lock = threading.Lock()
    asked: set[str]
    all_asked: threading.Event

    def do_GET(self) -> None:
        if self.path == "/0":
            self.all_asked.wait(PATIENCE_S)
        else:
            with self.lock:
                self.asked.add(self.path)
                if len(self.asked) == COUNT - 1:
                    self.all_asked.set()
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        if self.encoding:
            self.send_header("Content-Encoding", self.encoding)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(params=["gzip", ""], ids=["gzipped", "plain"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    body = gzip.compress(BODY) if request.param else BODY
    more = {"asked": set(), "all_asked": threading.Event()}
    handler = type("Handler", (Big,), {"body": body, "encoding": request.param, **more})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_answers_behind_one_that_hangs(url: str, client: str, start: Any, folder: Path) -> None:
    """24 answers of 9 MiB are 216 MiB, and twice that as they are decoded; the window is 64 MiB."""
    (folder / "p.toml").write_text(
        f'[[stage]]\nname = "x"\nhttp = {{ url = "{url}/{{n}}", client = "{client}" }}\n'
    )
    process = start("-c", "p.toml", "--timeout", str(PATIENCE_S), "--summary", "none")
    process.stdin.write(b"".join(b'{"n":%d}\n' % n for n in range(COUNT)))
    process.stdin.close()
    seen, peak_kib = [], 0
    with open(process.stdout.fileno(), "rb", closefd=False) as lines:
        for line in lines:
            seen.append(json.loads(line)["n"])
            assert len(line) > len(BODY)
            peak_kib = max(peak_kib, _peak_kib(process.pid) or 0)
    assert process.wait(PATIENCE_S) == 0
    assert seen == list(range(COUNT))
    assert peak_kib >> 10 <= MOST_MB


def _peak_kib(pid: int) -> int | None:
    """VmHWM: the most that was resident, None if it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return None
