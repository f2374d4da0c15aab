"""`--monitor`: what it answers to whom, while the real command runs."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from monitored import Asked
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streamproc import Pipeline
from streamproc.telemetry import vitals
from tests.conftest import PATIENCE_S, ROOT, records, summary

pytestmark = pytest.mark.forked
TOKEN = "a-token-of-16-or-more"
PATHS = ("/health", "/ready", "/metrics", "/stats")
STAGES = """
import asyncio, os, sys

class Opened:
    async def __aenter__(self):
        while not os.path.exists("open"):
            await asyncio.sleep(0.01)
        return self
    async def __aexit__(self, *error):
        pass
    async def __call__(self, record):
        while not os.path.exists("answer"):
            await asyncio.sleep(0.01)
        return {"ok": True}

def loaded(record):
    names = ("prometheus_client", "aiohttp", "http.server", "streamproc.telemetry.monitor")
    return {"loaded": [name for name in names if name in sys.modules]}
"""
HELD = """
import os, sys, time

class Holds:
    def find_spec(self, name, *rest):
        while name == "aiohttp" and not os.path.exists("go"):
            time.sleep(0.01)

sys.meta_path.insert(0, Holds())
"""


@pytest.fixture
def monitored(folder: Path) -> None:
    (folder / "watched.py").write_text(STAGES)


def test_what_it_answers(start: Any) -> None:
    """Four pages, for GET and HEAD, for pages of this machine; the figures are those of the run."""
    chosen = ("--run-id", "here", "--summary", "json")
    process = start("-e", "none", "--monitor", "127.0.0.1:0", *chosen)
    ask = Asked(process)
    process.stdin.write(b'{"n":1}\n{"n":2}\nno JSON <img src=x>\n')
    stats = ask.until("/stats", lambda answer: answer.json["lines_out"] == 3).json
    for path in PATHS:
        answer, head = ask(path), ask(path, "HEAD")
        assert (answer.status, head.status, head.body) == (200, 200, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "streamproc"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert (b"img" in answer.body) == (path == "/stats")
        assert (ask(path, "POST").status, ask(path, "DELETE").status) == (405, 405)
        assert ask(path, Host="127.0.0.2:1234").status == 200
        assert ask(path, Host="[::1]").status == 200
        for host in ("evil.example.com", "127.0.0.1.example.com", "", "localhost:80:80"):
            assert ask(path, Host=host).status == 421
    assert ask("/no-such-page").status == 404
    assert ask("/ready").json == {"ready": True, "missing": [], "degraded": []}
    samples = ask("/metrics").samples
    assert samples["streamproc_records_received_total",] == 3
    assert samples["streamproc_records_emitted_total", "ok"] == 2
    assert samples["streamproc_records_failed_total", "malformed", "decode"] == 1
    assert samples["process_cpu_seconds_total",] > 0
    assert next(key for key in samples if key[0] == "streamproc_run_info")[1] == "none"
    process.stdin.close()
    assert process.wait() == 3
    [failure] = stats.pop("last_failures")
    assert (failure["file"], failure["line"], failure["kind"]) == ("<stdin>", 3, "malformed")
    assert failure["id"] == "here:<stdin>:3"
    assert failure["record"] == "no JSON <img src=x>"
    counts = summary(process.stderr.read())
    of_time = ("seconds", "records_per_second")
    assert {k: v for k, v in stats.items() if k not in of_time} == {
        k: v for k, v in counts.items() if k not in of_time
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_stages_without_policies_are_measured(start: Any, workers: str) -> None:
    """How many calls there were, and how long they took together: a mean, and no buckets."""
    stages = ("-e", "plain=stages.py:plain", "-e", "slow=stages.py:slow")
    process = start(*stages, "-w", workers, "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    process.stdin.write(b'{"s":0.01}\n' * 50)
    name = "streamproc_record_duration_seconds"
    samples = ask.until(
        "/metrics", lambda answer: answer.samples.get((f"{name}_count", "slow")) == 50
    ).samples
    assert samples[f"{name}_count", "plain"] == 50
    assert samples[f"{name}_sum", "plain"] > 0
    assert samples[f"{name}_sum", "slow"] >= 0.5
    buckets = {key[1:]: value for key, value in samples.items() if key[0] == f"{name}_bucket"}
    assert buckets == {("+Inf", "plain"): 50, ("+Inf", "slow"): 50}


def test_openmetrics_for_who_asks_for_it(start: Any) -> None:
    """By `Accept`; what nobody understands is answered as if nothing had been said."""
    ask = Asked(start("-e", "none", "--monitor", "0"))
    answer = ask("/metrics", Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {each.name for each in text_string_to_metric_families(answer.body.decode())}
    assert {"streamproc_build", "streamproc_records_received", "streamproc_draining"} <= names
    odd = ask("/metrics", Accept="application/openmetrics-text; version=new")
    assert (odd.status, odd.headers["Content-Type"][:10]) == (200, "text/plain")


def test_a_token(start: Any, folder: Path) -> None:
    """Figures want it, probes do not; nothing else will do, and nothing tells it."""
    (folder / "p.toml").write_text(
        'monitor = { address = "0.0.0.0:0", token = "${MONITOR}" }\n[[stage]]\nbuiltin = "none"\n'
    )
    process = start("-c", "p.toml", "--log-level", "debug", env={"MONITOR": TOKEN})
    ask = Asked(process)
    assert (ask("/health").status, ask("/ready").status) == (200, 200)
    wrong = ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "é"]
    for path in ("/metrics", "/stats", "/events", "/no-such-page"):
        for given in wrong:
            refused = ask(path, Authorization=given)
            assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    for scheme in ("Bearer", "bearer"):
        assert ask("/metrics", Authorization=f"{scheme} {TOKEN}", Host="a.pod").status == 200
    shown = ask("/metrics", Authorization=f"Bearer {TOKEN}").body
    process.stdin.close()
    assert process.wait() == 0
    assert TOKEN.encode() not in ask.said + process.stderr.read() + shown


def test_the_last_failures_are_there_for_who_comes_late(start: Any) -> None:
    """20 of them, however many and large they were; each worker says what it does."""
    process = start("-e", "none", "-w", "2", "--on-error", "drop", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    process.stdin.write(b"".join(b'"%d%s\n' % (n, b"x" * 100_000) for n in range(30)))
    done = ("streamproc_records_emitted_total", "dropped")
    samples = ask.until("/metrics", lambda answer: answer.samples[done] == 30).samples
    answer = ask("/stats")
    assert len({each["line"] for each in answer.json["last_failures"]}) == 20
    assert len(answer.body) < 20_000
    by_worker = [samples["streamproc_worker_records_total", each] for each in ("0", "1")]
    assert sum(by_worker) == 30
    process.stdin.close()
    assert process.wait() == 3


def test_flags_win_over_the_file(start: Any, folder: Path) -> None:
    """One of them does not take away what the file says besides."""
    (folder / "p.toml").write_text(f'[monitor]\naddress = "1.2.3.4:1"\ntoken = "{TOKEN}"\n')
    ask = Asked(start("-c", "p.toml", "-e", "none", "--monitor", "127.0.0.1:0"))
    assert ask("/stats").status == 401
    other = {"STREAMPROC_MONITOR_TOKEN": "another-one"}
    ask = Asked(start("-c", "p.toml", "-e", "none", "--monitor", "127.0.0.1:0", env=other))
    assert ask("/stats", Authorization="Bearer another-one").status == 200


def test_ready_when_all_is_open_and_nothing_drains(
    start: Any, folder: Path, monitored: None
) -> None:
    """Health is another matter: a run that opens or drains is well."""
    process = start("-e", "watched.py:Opened", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    answer = ask.until("/ready", lambda answer: answer.json["missing"] == ["stages", "sink"])
    assert (answer.status, ask("/health").status) == (503, 200)
    (folder / "open").touch()
    ask.until("/ready", lambda answer: answer.status == 200)
    process.stdin.write(b'{"n":1}\n')
    ask.until("/metrics", lambda a: a.samples["streamproc_records_in_flight",] == 1)
    stats = ask("/stats").json
    assert (stats["received"], stats["records_per_second"]) == (1, 0.0)  # none is done
    process.send_signal(signal.SIGTERM)
    answer = ask.until("/ready", lambda answer: answer.status == 503)
    assert (answer.json["missing"], ask("/health").status) == (["draining"], 200)
    assert ask("/metrics").samples["streamproc_draining",] == 1
    (folder / "answer").touch()
    assert process.wait() == 143


def test_an_address_that_is_taken(run: Any, folder: Path) -> None:
    """73, before anything is written."""
    (folder / "out").write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("-e", "none", "--monitor", address, "-o", "out", stdin=b"{}\n")
    assert (done.returncode, (folder / "out").read_text()) == (73, "kept")
    [said] = done.stderr.decode().splitlines()
    assert said.startswith(
        f"streamproc: monitor: {address} is not to be had: Address already in use;"
    )
    assert "another port" in said
    done = run("-e", "none", "--monitor", "no-such-host.invalid:1", stdin=b"{}\n")
    assert (done.returncode, b"no-such-host.invalid:1" in done.stderr) == (73, True)
    assert b"another port" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--monitor", "all"), b"expected HOST:PORT"),
        (("--monitor", "127.0.0.1:65536"), b"expected HOST:PORT"),
        (("--monitor-token", "only-a-token"), b"add --monitor ADDR"),
    ],
)
def test_bad_flags(run: Any, arguments: tuple[str, ...], says: bytes) -> None:
    done = run("-e", "none", *arguments)
    assert (done.returncode, says in done.stderr, b"only-a" in done.stderr) == (2, True, False)


def test_the_token_is_a_secret(run: Any, folder: Path) -> None:
    """`check` shows the address, and that there is one; a bad one is refused without its text."""
    text = f'monitor = {{ address = ":9", token = "{TOKEN}" }}\n'
    (folder / "bad.toml").write_text(text)
    (folder / "odd.toml").write_text(f'[monitor]\ntoken = "{TOKEN} "\n')
    (folder / "good.toml").write_text(text.replace(":9", "::1".join("[]") + ":9"))
    (folder / "number.toml").write_text("monitor.token = 31415926535\n")
    bad, odd, good, number = (
        run("check", f"{name}.toml") for name in ("bad", "odd", "good", "number")
    )
    assert [each.returncode for each in (bad, odd, good, number)] == [78, 78, 0, 78]
    assert b"monitor.token: expected str" in number.stderr
    assert b"31415" not in number.stderr
    assert b"monitor.address: expected HOST:PORT" in bad.stderr
    assert b"monitor: token: expected characters" in odd.stderr
    assert b'monitor = { address = "[::1]:9", token = "***" }' in good.stdout
    for done in (bad, odd, good):
        assert TOKEN.encode() not in done.stdout + done.stderr


def test_nothing_is_loaded_without_one(run: Any, monitored: None) -> None:
    """It costs nothing where it is not asked for."""
    done = run("-e", "watched.py:loaded", stdin=b"{}\n")
    assert records(done.stdout) == [{"loaded": []}]


def test_records_do_not_wait_until_it_is_loaded(start: Any, folder: Path) -> None:
    """Who asks does: it listens from the beginning, and answers when it can."""
    (folder / "sitecustomize.py").write_text(HELD)
    path = {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    process = start("-e", "none", "--monitor", "127.0.0.1:0", env=path)
    ask = Asked(process)
    process.stdin.write(b'{"n":1}\n')
    assert process.stdout.readline() == b'{"n":1}\n'
    with socket.create_connection((ask.host, ask.port), PATIENCE_S) as client:
        client.sendall(b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not select.select([client], [], [], 0)[0]
        (folder / "go").touch()
        assert client.recv(12) == b"HTTP/1.1 200"
    process.stdin.close()
    assert process.wait() == 0


def test_who_connects_and_does_nothing(start: Any) -> None:
    """Is in nobody's way: not of the run, which ends when it ends."""
    process = start("-e", "none", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection((ask.host, ask.port)))
        process.stdin.write(b'{"n":1}\n')
        assert process.stdout.readline() == b'{"n":1}\n'
        process.stdin.close()
        assert process.wait() == 0


def test_a_loop_that_does_not_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cannot answer for itself; its monitor does, with the last figures that it had."""
    monkeypatch.setattr(vitals, "_STUCK_S", 0.5)

    class Process:
        class stderr:  # noqa: N801
            @staticmethod
            def readline() -> bytes:
                return caplog.messages[0].encode()

    def busy(record: dict[str, Any]) -> dict[str, Any]:
        """Keeps the loop until it is told that it does."""
        ask = Asked(Process)
        stuck = ask.until("/health", lambda answer: answer.status == 503).json
        return {"stuck": stuck["status"], "received": ask("/stats").json["received"]}

    out: list[Any] = []
    pipeline = Pipeline([busy], monitor="127.0.0.1:0")
    with caplog.at_level(logging.WARNING):
        asyncio.run(pipeline.run([{"n": 1}], out))
    assert out == [{"n": 1, "stuck": "stuck", "received": 0}]
