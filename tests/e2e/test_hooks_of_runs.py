"""`[[on]]` in a pipeline file, with the real command."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import records, summary

pytestmark = pytest.mark.forked
ALERTS = """
import asyncio, json, os, threading, time

def note(event):
    with open("heard", "a") as file:
        file.write(json.dumps(event) + "\\n")

async def anote(event):
    await asyncio.sleep(0)
    note(event)

def hangs(event):
    threading.Event().wait()

async def ahangs(event):
    await asyncio.get_running_loop().create_future()

async def blocks(event):
    while not os.path.exists("over"):
        time.sleep(0.01)

def raises(event):
    raise RuntimeError("no pager")

def nobody():
    pass

def yields(event):
    yield note(event)

def odd(record):
    if record["n"] % 2:
        raise ValueError("odd")
    return {"ok": True}

def slow(record):
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    return {"ok": True}

def dies(record):
    if record["n"] == 3 and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(1)
    return {"ok": True}
"""
LINES = b"".join(b'{"n":%d}\n' % n for n in range(6))
STAGE = '[[stage]]\nname = "s"\ninto = "."\npython = "alerts.py:%s"\n'


@pytest.fixture
def alerts(folder: Path) -> Callable[..., None]:
    """Writes a pipeline file with these handlers."""
    (folder / "alerts.py").write_text(ALERTS)

    def write(*hooks: str, stage: str = "odd") -> None:
        tables = "".join(f"[[on]]\n{hook}\n" for hook in hooks)
        (folder / "p.toml").write_text(tables + STAGE % stage)

    return write


def heard(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Events by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "heard").read_text().splitlines():
        event = json.loads(line)
        found.setdefault(event["event"], []).append(event)
    return found


@pytest.mark.parametrize("function", ["note", "anote"])
def test_a_run_is_told_from_its_beginning_to_its_end(
    run: Any, folder: Path, alerts: Any, function: str
) -> None:
    """With the figures of its summary, and failures with what stands in their `_error`."""
    alerts(f'event = "*"\npython = "alerts.py:{function}"')
    done = run("-c", "p.toml", "--run-id", "r1", "--summary", "json", stdin=LINES)
    assert done.returncode == 3
    events, counts = heard(folder), summary(done.stderr)
    assert {event["run_id"] for each in events.values() for event in each} == {"r1"}
    (started,), (ended,) = events["run_started"], events["run_ended"]
    assert started["pipeline"] == "s"
    assert {name: ended[name] for name in ("ok", "failed", "exit_code", "error")} == {
        "ok": 3, "failed": 3, "exit_code": 3, "error": None
    }  # fmt: skip
    assert counts.keys() <= ended.keys()
    errors = [each["_error"] for each in records(done.stdout) if "_error" in each]
    same = ("id", "file", "line", "stage", "kind", "message")
    assert [[event[name] for name in same] for event in events["record_failed"]] == [
        [error[name] for name in same] for error in errors
    ]


def test_a_handler_that_hangs_blocks_or_raises_changes_nothing(
    run: Any, folder: Path, alerts: Any
) -> None:
    """Not the output, not the exit code; the end waits for 5 s, and tells of it."""
    alerts(*(f'event = "*"\npython = "alerts.py:{each}"'
             for each in ("hangs", "ahangs", "blocks", "raises")))  # fmt: skip
    done = run("-c", "p.toml", "--summary", "json", stdin=LINES)
    (folder / "p.toml").write_text(STAGE % "odd")
    alone = run("-c", "p.toml", "--summary", "json", stdin=LINES)
    assert done.returncode == alone.returncode == 3
    shape = [sorted(each) for each in records(alone.stdout)]
    assert [sorted(each) for each in records(done.stdout)] == shape
    said = done.stderr.decode()
    for name in ("hangs", "ahangs", "blocks"):
        assert f"(alerts.py:{name}): 5 events were not handled before the end" in said
    assert "on[3] (alerts.py:raises) failed at run_started: RuntimeError: no pager" in said
    assert "Traceback" not in said


def test_a_start_that_fails_is_told_as_well(run: Any, folder: Path, alerts: Any) -> None:
    alerts('event = "*"\npython = "alerts.py:note"')
    done = run("-c", "p.toml", "nowhere.jsonl")
    (ended,) = heard(folder)["run_ended"]
    assert ended["exit_code"] == done.returncode == 66
    assert "nowhere.jsonl" in ended["error"]
    assert "run_started" not in heard(folder)


def test_a_signal_is_told(start: Any, folder: Path, alerts: Any) -> None:
    alerts('event = ["draining", "run_ended"]\npython = "alerts.py:note"')
    process = start("-c", "p.toml")
    process.stdin.write(b'{"n":2}\n')
    assert process.stdout.readline() == b'{"n":2,"ok":true}\n'
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    events = heard(folder)
    assert [each["exit_code"] for each in events["run_ended"]] == [143]
    assert len(events["draining"]) == 1


def test_slow_code_dead_workers_and_checkpoints(run: Any, folder: Path, alerts: Any) -> None:
    """What the log says of them, as events; from workers too."""
    names = '["stage_slow", "worker_died", "worker_restarted", "checkpoint_saved"]'
    alerts(f'event = {names}\npython = "alerts.py:note"', stage="slow")
    (folder / "in").write_bytes(LINES[:8])
    assert run("-c", "p.toml", "in", "-o", "out", "--checkpoint", "c").returncode == 0
    (slow,) = heard(folder)["stage_slow"]
    assert (slow["stage"], slow["seconds"] >= 0.4) == ("s", True)
    assert heard(folder)["checkpoint_saved"][-1]["lines"] == 1
    (folder / "heard").unlink()
    alerts(f'event = {names}\npython = "alerts.py:note"', stage="dies")
    done = run("-c", "p.toml", "-w", "2", stdin=LINES)
    # 3: where its worker had no other record, it is known which one it was, and not tried again
    assert done.returncode in (0, 3), done.stderr
    (died,) = heard(folder)["worker_died"]
    assert "exited with 1" in died["reason"]
    assert [each["worker"] for each in heard(folder)["worker_restarted"]] == [died["worker"]]


# Requests


class Received(ThreadingHTTPServer):
    """Keeps the requests that come, and answers each with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.status = 200
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Receiver(BaseHTTPRequestHandler):
    server: Received

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = self.command, self.path, dict(self.headers), json.loads(body)
        self.server.requests.append(request)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"thanks")

    do_PUT = do_POST  # noqa: N815 - http.server looks for it

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def received() -> Iterator[Received]:
    with Received() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_request_is_filled_from_the_event(run: Any, alerts: Any, received: Received) -> None:
    """Text with fields in it, and whole fields with their types; any 2xx is an answer."""
    body = '{ text = "{run_id}: {ok} ok, {failed} failed, {error}", ok = "{ok}", why = "{error}" }'
    alerts(
        'event = "run_ended"\n'
        f'http = {{ url = "{received.url}/x/{{event}}?k=${{KEY}}", method = "PUT", '
        f'headers = {{ Authorization = "Bearer ${{KEY}}" }}, json = {body} }}'
    )
    done = run("-c", "p.toml", "--run-id", "r1", stdin=LINES, env={"KEY": "a-long-secret-key"})
    assert done.returncode == 3, done.stderr
    assert b"on[0]" not in done.stderr
    ((method, path, headers, sent),) = received.requests
    assert (method, path) == ("PUT", "/x/run_ended?k=a-long-secret-key")
    assert headers["Authorization"] == "Bearer a-long-secret-key"
    assert sent == {"text": "r1: 3 ok, 3 failed, none", "ok": 3, "why": "none"}


def test_a_refusal_is_told_without_secrets(run: Any, alerts: Any, received: Received) -> None:
    """Without a body of its own the event itself is sent."""
    received.status = 500
    alerts(f'event = "run_started"\nhttp = {{ url = "{received.url}/x?token=${{KEY}}" }}')
    done = run("-c", "p.toml", "--run-id", "r1", stdin=LINES, env={"KEY": "a-long-secret-key"})
    assert done.returncode == 3
    ((_, _, _, sent),) = received.requests
    assert (sent["event"], sent["run_id"], sent["pipeline"]) == ("run_started", "r1", "s")
    (said,) = [each for each in done.stderr.splitlines() if b"on[0]" in each]
    assert b"on[0] failed at run_started: POST http://127.0.0.1:" in said
    assert b"500 Internal Server Error" in said
    assert b"a-long-secret-key" not in done.stderr


# Before a run


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('event = "run_endd"\npython = "alerts.py:note"', "on[0].event: expected one of"),
        ('event = "run_endd"\npython = "alerts.py:note"', "did you mean run_ended?"),
        ('event = ["x"]\npython = "alerts.py:note"', "on[0].event[0]: expected one of"),
        ('event = []\npython = "alerts.py:note"', "on[0]: event: at least one is needed"),
        ('event = "*"', "on[0]: expected exactly one of python, http"),
        ('python = "alerts.py:note"', "on[0]: event is missing"),
        ('event = "*"\npython = "alerts.py:nte"', "on[0].python: alerts.py:nte: alerts.py has no"),
        (
            'event = "*"\npython = "alerts.py:nobody"',
            "on[0].python: nobody: it is called with an event",
        ),
        (
            'event = "*"\npython = "alerts.py:yields"',
            "on[0].python: yields: calling it does nothing",
        ),
        ('event = "*"\nhttp = { url = "http://a/{ok}" }', "on[0].http: {ok} is no field of the"),
        ('event = "*"\nhttp = { url = "http://{run_id}/" }', "on[0].http: url: expected http"),
    ],
)
def test_mistakes_are_found_before_a_run(run: Any, alerts: Any, table: str, said: str) -> None:
    alerts(table)
    for command in (("check", "p.toml"), ("-c", "p.toml")):
        done = run(*command)
        assert (done.returncode, done.stdout) == (78, b"")
        assert said in done.stderr.decode()


def test_trials_call_no_hooks(run: Any, folder: Path, alerts: Any) -> None:
    """A test of the pipeline is no run that somebody wants to be paged for."""
    alerts('event = "*"\npython = "alerts.py:note"')
    case = (
        '[[test]]\nname = "one"\npipeline = "p.toml"\n'
        "input = [{n = 2}]\nexpect = [{n = 2, ok = true}]\n"
    )
    (folder / "p.test.toml").write_text(case)
    assert run("test", "p.test.toml").returncode == 0
    assert run("-c", "p.toml", "--dry-run", stdin=LINES).returncode == 0
    assert not (folder / "heard").exists()


def test_it_is_in_the_schema(run: Any) -> None:
    schema = json.loads(run("schema").stdout)
    hook = schema["$defs"]["HookSettings"]["properties"]
    assert "run_ended" in json.dumps(hook["event"])
    assert hook.keys() == {"event", "python", "http"}
