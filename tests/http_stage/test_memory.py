"""Answers count as memory while their records wait, so that peak memory is bounded."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_S

BODY = b'{"d":"' + b"x" * (9 << 20) + b'"}'
COUNT = 24
LEAST = 4  # so many fit into any process
QUIET_S = 1.0  # nobody else asks: memory is used up, or all have asked
MOST_MB = 300
BASE_MB = 50  # of each process more


class Big(BaseHTTPRequestHandler):
    """Answers with 9 MiB, to record 0 when no more others ask, and with little below /small."""

    protocol_version = "HTTP/1.1"
    body = BODY
    encoding = ""
    asked: set[str]

    def do_GET(self) -> None:
        if self.path.startswith("/small/"):
            self._answer(b"{}")
            return
        self.asked.add(self.path)
        if self.path == "/0":
            seen = 0
            while len(self.asked) != seen or seen < LEAST:
                seen = len(self.asked)
                time.sleep(QUIET_S)
        self._answer(self.body, self.encoding)

    def _answer(self, body: bytes, encoding: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(params=["gzip", ""], ids=["gzipped", "plain"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    body = gzip.compress(BODY) if request.param else BODY
    more = {"body": body, "encoding": request.param, "asked": set()}
    handler = type("Handler", (Big,), more)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("url", "client", "workers"),
    [
        pytest.param("gzip", "lean", 1, id="gzipped-lean-1"),
        pytest.param("gzip", "aiohttp", 1, id="gzipped-aiohttp-1"),
        pytest.param("", "lean", 2, id="plain-lean-2"),
        pytest.param("", "aiohttp", 1, id="plain-aiohttp-1"),
    ],
    indirect=["url"],
)
def test_answers_behind_one_that_hangs(
    url: str, client: str, workers: int, start: Any, folder: Path
) -> None:
    """24 answers of 9 MiB are 216 MiB, and twice that as they are decoded: they do not fit."""
    (folder / "p.toml").write_text(
        f'[[stage]]\nname = "x"\nhttp = {{ url = "{url}/{{n}}", client = "{client}" }}\n'
    )
    process = start("-c", "p.toml", "-w", str(workers), "--timeout", str(PATIENCE_S))
    process.stdin.write(b"".join(b'{"n":%d}\n' % n for n in range(COUNT)))
    process.stdin.close()
    seen: list[int] = []
    peaks_kib: dict[int, int] = {}
    with open(process.stdout.fileno(), "rb", closefd=False) as lines:
        for line in lines:
            seen.append(json.loads(line)["n"])
            assert len(line) > len(BODY)
            for pid in (process.pid, *_children(process.pid)):
                peaks_kib[pid] = _peak_kib(pid) or peaks_kib.get(pid, 0)
    assert process.wait(PATIENCE_S) == 0
    assert seen == list(range(COUNT))
    assert max(peaks_kib.values()) >> 10 <= MOST_MB
    assert sum(peaks_kib.values()) >> 10 <= MOST_MB + (workers > 1) * 2 * BASE_MB


@pytest.mark.alone
@pytest.mark.parametrize("url", [""], ids=["plain"], indirect=True)  # small ones come as they are
def test_lines_that_decode_to_much_more(start: Any, folder: Path, url: str) -> None:
    """36 lines of 2.1 MB, of which each takes 45 MB once it is decoded.

    Alone, as `ru_maxrss` is at least what the process that started it had been.
    """
    line = b'{"n":%%d,"d":[%b{}]}\n' % (b"{}," * 700_000)
    (folder / "in.jsonl").write_bytes(b"".join(line % n for n in range(1, 37)))
    (folder / "p.toml").write_text(
        f'[[stage]]\nname = "x"\nhttp = {{ url = "{url}/small/{{n}}" }}\n'
    )
    process = start("-c", "p.toml", "in.jsonl", "--summary", "none", "-o", "out.jsonl")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert usage.ru_maxrss >> 10 <= MOST_MB
    assert (folder / "out.jsonl").read_bytes().count(b"\n") == 36


def test_one_record_larger_than_all_may_hold(url: str, run: Any) -> None:
    """The oldest goes on, whatever it takes: nobody waits for ever."""
    lines = b"".join(b'{"n":%d}\n' % n for n in range(1, 5))
    result = run("-e", f"x={url}/{{n}}", "--max-memory", "1MiB", stdin=lines)
    assert result.returncode == 0
    assert [json.loads(line)["n"] for line in result.stdout.splitlines()] == [1, 2, 3, 4]


def _children(pid: int) -> list[int]:
    """Its worker processes."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _peak_kib(pid: int) -> int | None:
    """VmHWM: the most that was resident, None if it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return None
