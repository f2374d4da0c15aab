"""Signals while records wait for a service."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from servers.running import Server
from servers.sockets import until

from tests.conftest import PATIENCE_S, records, summary

pytestmark = pytest.mark.forked  # each signal comes when the server was called

HOUR = "3600s"
WAITS = {
    "Retry-After": 'http.url = "SERVER/429?after=200&times=99"',
    "a long Retry-After": 'http.url = "SERVER/429?after=1000&times=99"\nbreaker.max_wait = "1h"',
    "back-off": f"""http.url = "SERVER/status/500"\nbreaker = false
        retry = {{ base = "{HOUR}", max_delay = "{HOUR}", max_elapsed = "10h" }}""",
    "breaker": f"""http.url = "SERVER/status/500"\nretry.base = "1ms"
        breaker = {{ consecutive = 1, open = "{HOUR}", max_open = "{HOUR}", max_wait = "9h" }}""",
    "rate": 'http.url = "SERVER/status/500"\nrate = "1/h"\nretry.base = "1ms"\nbreaker = false',
    "concurrency": 'http.url = "SERVER/never"\nconcurrency = 1',
    "cache": 'http.url = "SERVER/never"\ncache = "1h"',
    "batch": """http = { url = "SERVER/never", json = "{n}" }
        batch = { size = 2, wait = "1000s" }""",
    "sources": """all = [ { name = "a", http = { url = "SERVER/429?after=200&times=99" } },
        { name = "b", http = { url = "SERVER/ok" } } ]""",
}
GIVEN = b"".join(b'{"n": %d}\n' % n for n in range(5))


def waiting(
    start: Any, pipeline: Any, server: Server, text: str, *args: str
) -> subprocess.Popen[bytes]:
    """A process that has read five records and called the server; its stdin stays open."""
    process: subprocess.Popen[bytes] = start(
        "-c", pipeline(text), "--summary", "json", "--log-level", "error", *args
    )
    assert process.stdin is not None
    process.stdin.write(GIVEN)
    until(lambda: server.stats()["total"] > 0)
    return process


def finish(process: subprocess.Popen[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in err
    counts = summary(err)
    assert process.returncode == counts["exit_code"]
    return records(out), counts


@pytest.mark.parametrize("text", WAITS.values(), ids=WAITS)
def test_waits_are_cut_short(
    start: Any, run: Any, pipeline: Any, server: Server, text: str
) -> None:
    """The process would wait for an hour; what was not finished is in the dead-letter file."""
    args = ("--drain-timeout", "0.5", "--dead-letter", "dead")
    process = waiting(start, pipeline, server, text, *args)
    process.send_signal(signal.SIGINT)
    out, counts = finish(process)
    assert (process.returncode, out, counts["unprocessed"]) == (75, [], 5)
    assert sorted(run("replay", "dead").stdout.splitlines()) == GIVEN.splitlines()


def test_a_wait_that_ends_in_time_is_waited_for(start: Any, pipeline: Any, server: Server) -> None:
    process = waiting(start, pipeline, server, 'http.url = "SERVER/429?form=ms&after=0.3"')
    process.send_signal(signal.SIGTERM)
    out, counts = finish(process)
    assert (process.returncode, counts["unprocessed"], counts["ok"]) == (143, 0, 5)
    assert [record["x"]["path"] for record in out] == ["/429"] * 5


@pytest.mark.parametrize("name", ["Retry-After", "back-off", "breaker", "concurrency", "sources"])
def test_a_second_signal_does_not_wait_at_all(
    start: Any, pipeline: Any, server: Server, name: str
) -> None:
    """The drain may take an hour; without a dead-letter file the rest is annotated."""
    process = waiting(start, pipeline, server, WAITS[name], "--drain-timeout", HOUR)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, counts = finish(process)
    assert process.returncode == 75
    assert counts["unprocessed"] == counts["received"] <= 5
    assert [record["_error"]["kind"] for record in out] == ["shutdown"] * len(out)
    assert [record["n"] for record in out] == list(range(counts["received"]))


def test_what_was_finished_before_is_kept(
    start: Any, run: Any, folder: Path, pipeline: Any, server: Server
) -> None:
    """One record answers, one waits; the one behind it is finished and comes out, too."""
    text = 'when = "wait"\nhttp.url = "SERVER/429?after=200&times=99"'
    args = ("--drain-timeout", "0.5", "--dead-letter", "dead")
    process = start("-c", pipeline(text), "--summary", "json", *args)
    lines = [b'{"n":0}', b'{"n":1,"wait":1}', b'{"n":2}']
    process.stdin.write(b"\n".join(lines) + b"\n")
    until(lambda: server.stats()["total"] > 0)
    process.send_signal(signal.SIGINT)
    out, counts = finish(process)
    assert (out, counts["ok"], counts["unprocessed"]) == ([{"n": 0}, {"n": 2}], 2, 1)
    assert run("replay", "dead").stdout == lines[1] + b"\n"
    letter = json.loads((folder / "dead").read_bytes())
    assert letter["_error"]["kind"] == "shutdown"


def test_the_input_ends_while_records_wait(start: Any, pipeline: Any, server: Server) -> None:
    """The end of input hurries nobody, and a signal after it is as good as one before."""
    process = waiting(start, pipeline, server, WAITS["Retry-After"], "--drain-timeout", "0.5")
    process.stdin.close()
    process.stdin = None
    process.send_signal(signal.SIGINT)
    out, counts = finish(process)
    assert (process.returncode, len(out), counts["unprocessed"]) == (75, 5, 5)
