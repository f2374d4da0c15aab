"""`/events`: what it tells to whom, and those who do not read."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from monitored import Asked

from streamproc import Pipeline
from streamproc.telemetry import events, monitor
from tests.conftest import PATIENCE_S

pytestmark = pytest.mark.forked
TOKEN = "a-token-of-16-or-more"
FAILING = """
def failing(record):
    raise ValueError(f"no use for {record['secret']}")
"""


class Followed:
    """Events of a monitor, one after the other."""

    def __init__(self, ask: Asked, **headers: str) -> None:
        self.connection = HTTPConnection(ask.host, ask.port, timeout=PATIENCE_S)
        self.connection.request("GET", "/events", headers=headers)
        self.answer = self.connection.getresponse()

    def __enter__(self) -> Followed:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def next(self) -> tuple[str, Any]:
        """Its name, and what it says."""
        lines = [self.answer.readline().decode().rstrip("\n") for _ in range(3)]
        assert lines[2] == ""
        name, data = lines[0].removeprefix("event: "), lines[1].removeprefix("data: ")
        return name, json.loads(data)

    def until(self, wanted: str) -> Any:
        """What the next one of that name says."""
        while (event := self.next())[0] != wanted:
            pass
        return event[1]


def test_what_comes(start: Any, folder: Path) -> None:
    """What was, what is, what changes, and the end; then nobody else has to ask again."""
    process = start("-e", "company=http://127.0.0.1:1/{n}", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    with Followed(ask) as follow:
        assert follow.answer.getheader("Content-Type") == "text/event-stream"
        assert follow.answer.getheader("Cache-Control") == "no-store"
        assert follow.next()[0] == "history"
        assert follow.until("figures")["received"] == 0
        process.stdin.write(b'{"n":1}\n' * 200)
        while (change := follow.until("state"))["state"] != "open":
            assert change["state"] == "run started"
        assert (change["stage"], change["number"]) == ("company", 2)
        assert change["target"] == "http://127.0.0.1:1"
        figures = follow.until("figures")
        assert figures["boxes"] == [{"name": "company", "sources": []}]
        assert figures["received"] == 200
        with Followed(ask) as late:  # whoever comes later hears of it as well
            assert [late.until("state")["number"] for _ in range(2)] == [1, 2]
        process.terminate()
        while follow.until("figures")["state"] != "draining":
            pass
        process.terminate()
        while (last := follow.next())[0] != "end":
            figures = last[1]
        assert figures["state"] == "ended"
        assert follow.answer.read() == b""
    assert process.wait() in (75, 143)


def test_head_is_answered_at_once(start: Any) -> None:
    ask = Asked(start("-e", "none", "--monitor", "127.0.0.1:0"))
    answer = ask("/events", "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("address", "token", "shows"),
    [("127.0.0.1:0", None, True), ("0.0.0.0:0", None, False), ("0.0.0.0:0", TOKEN, True)],
)
def test_who_sees_records(
    start: Any, folder: Path, address: str, token: str | None, shows: bool
) -> None:
    """This machine, and who has the token; nobody else sees a record, or an error's message."""
    (folder / "failing.py").write_text(FAILING)
    more = () if token is None else ("--monitor-token", token)
    process = start("-e", "s=failing.py:failing", "--monitor", address, *more)
    ask = Asked(process)
    process.stdin.write(b'{"secret":"of-a-record"}\n')
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with Followed(ask, **headers) as follow:
        while (figures := follow.until("figures"))["ended"]["failed"] == 0:
            pass
    stats = ask("/stats", **headers).json
    assert stats.get("last_failures") == figures["examples"]
    if shows:
        (example,) = figures["examples"]
        assert (example["line"], example["kind"]) == (1, "exception")
        assert "no use for of-a-record" in example["message"]
        assert example["record"] == '{"secret":"of-a-record"}'
    else:
        assert figures["examples"] is None
        assert "of-a-record" not in json.dumps([figures, stats])


def test_those_who_never_read(start: Any) -> None:
    """50 of them: the run goes on, the monitor answers others, and so it does when they go."""
    process = start("-e", "none", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(socket.create_connection((ask.host, ask.port)))
            client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for n in range(1, 4):
            process.stdin.write(b'{"n":1}\n')
            assert process.stdout.readline() == b'{"n":1}\n'
            ask.until("/stats", lambda answer, n=n: answer.json["lines_out"] == n)
        ask.until("/events", lambda answer: answer.status == 503, method="HEAD")
    ask.until("/events", lambda answer: answer.status == 200, method="HEAD")
    process.stdin.close()
    assert process.wait() == 0


def said(caplog: pytest.LogCaptureFixture) -> Any:
    """What stands for a process: a pipeline in this one, of which a log tells the address."""

    class Process:
        class stderr:  # noqa: N801
            @staticmethod
            def readline() -> bytes:
                return caplog.messages[0].encode()

    return Process


def threaded(function: Any) -> Any:
    """A stage that keeps no loop."""

    async def call(record: dict[str, Any]) -> Any:
        return await asyncio.to_thread(function, record)

    return call


def test_with_workers(start: Any) -> None:
    """It is of all of them, and hears of what happens in them."""
    process = start("-e", "s=http://127.0.0.1:1/{n}", "-w", "2", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    with Followed(ask) as follow:
        process.stdin.write(b'{"n":1}\n' * 200)
        while follow.until("state")["state"] != "open":
            pass
        figures = follow.until("figures")
        assert (figures["workers"], figures["received"]) == (2, 200)


def test_who_reads_stays(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """For longer than any other connection lasts."""
    monkeypatch.setattr(monitor, "_CONNECTION_S", 0.5)
    monkeypatch.setattr(events, "_EVERY_S", 0.01)

    def reads(record: dict[str, Any]) -> dict[str, Any]:
        with Followed(Asked(said(caplog))) as follow:
            begun_s = time.monotonic()
            while time.monotonic() < begun_s + 2:
                follow.until("figures")
        return {"ok": True}

    out: list[Any] = []
    with caplog.at_level(logging.WARNING):
        asyncio.run(Pipeline([threaded(reads)], monitor="127.0.0.1:0").run([{}], out))
    assert [each.get("_error") for each in out] == [None]


def test_a_reader_that_does_not_keep_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Is dropped when 64 KiB wait for it."""
    monkeypatch.setattr(events, "_EVERY_S", 0.001)

    def follow(record: dict[str, Any]) -> dict[str, Any]:
        ask = Asked(said(caplog))
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(PATIENCE_S)
            client.connect((ask.host, ask.port))
            client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            ask.until("/dropped", lambda _: streams != [] and not streams[0].is_followed)
            got = b""
            try:
                while more := client.recv(65536):
                    got += more
            except ConnectionResetError:
                pass
        return {"is_whole": got.endswith(b"0\r\n\r\n")}

    streams: list[Any] = []

    class Stream(events.EventStream):
        is_followed = True

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            streams.append(self)

        def leave(self) -> None:
            self.is_followed = False
            super().leave()

    monkeypatch.setattr(events, "EventStream", Stream)
    out: list[Any] = []
    pipeline = Pipeline([threaded(follow)], monitor="127.0.0.1:0")
    with caplog.at_level(logging.WARNING):
        asyncio.run(pipeline.run([{"n": 1}], out))
    assert out == [{"n": 1, "is_whole": False}]
