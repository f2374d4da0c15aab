"""When few files may be open, a run has fewer calls at once; it neither fails nor waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server

from tests.conftest import PATIENCE_S, environment, records, summary


def limited(folder: Path, limit: str, *arguments: str, stdin: bytes) -> Any:
    """Run the command under `ulimit`."""
    script = f'ulimit {limit}; exec "$0" -m streamproc "$@"'
    return subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, *arguments],
        input=stdin, capture_output=True, cwd=folder, env=environment({}), timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("more", [(), ("-w", "2")], ids=["", "workers"])
@pytest.mark.parametrize("client", ["lean", "aiohttp"])
def test_few_files_are_enough(
    folder: Path, pipeline: Any, server: Server, client: str, more: tuple[str, ...]
) -> None:
    """500 at once were asked for, and 64 files may be open: all are answered, with a note."""
    text = f'http = {{ url = "SERVER/delay?s=0.01&n={{n}}", client = "{client}" }}'
    lines = b"".join(b'{"n":%d}\n' % n for n in range(1000))
    arguments = ("-c", pipeline(text), "-j", "500", "--summary", "json", *more)
    done = limited(folder, "-n 64", *arguments, stdin=lines)
    assert done.returncode == 0, done.stderr
    assert len(records(done.stdout)) == 1000
    counts = summary(done.stderr)
    assert (counts["ok"], counts["retries"], counts["circuit_opened"]) == (1000, 0, 0)
    (note,) = [line for line in done.stderr.decode().splitlines() if "ulimit -n" in line]
    assert "instead of 500" in note


def test_what_may_be_raised_is_raised(folder: Path, pipeline: Any, server: Server) -> None:
    lines = b"".join(b'{"n":%d}\n' % n for n in range(300))
    config = pipeline('http.url = "SERVER/delay?s=0.2&n={n}"')
    arguments = ("-c", config, "-j", "200", "--summary", "json")
    done = limited(folder, "-S -n 64", *arguments, stdin=lines)
    assert done.returncode == 0
    assert b"ulimit" not in done.stderr
    assert summary(done.stderr)["ok"] == 300
    assert server.stats()["max_in_progress"]["overall"] > 64


def test_a_run_without_calls_needs_no_connections(folder: Path) -> None:
    done = limited(folder, "-n 40", "-e", "none", "-j", "500", stdin=b"{}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{}\n", b"")
