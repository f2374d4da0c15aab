"""The misbehaving server's limits, connections, certificates and controls."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from servers.certificates import KINDS
from servers.running import HOST, Server
from servers.sockets import PATIENCE_S, ask, connect, good, read_all, read_answer, request, until


@pytest.mark.parametrize("form", ["date", "reset"])
def test_times_by_a_skewed_clock(server: Server, form: str) -> None:
    _, head, _ = ask(server, f"/429?form={form}&after=30&skew=-5000")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    date = parsedate_to_datetime(headers["Date"]).timestamp()
    assert -5010 < date - time.time() < -4990
    if form == "date":
        assert parsedate_to_datetime(headers["Retry-After"]).timestamp() - date == 30
    else:
        assert int(headers["X-RateLimit-Reset"]) - date in {30, 31}


def test_too_many_requests(server: Server) -> None:
    paths = ["/429?times=2&key=a"] * 3 + ["/429?key=b&form=none"] * 2 + ["/429?times=2&key=a"]
    assert [ask(server, path)[0] for path in paths] == [429, 429, 200, 429, 200, 200]


def test_too_many_requests_for_a_while(server: Server) -> None:
    began = time.monotonic()
    while (answer := ask(server, "/429-once?after=0.3"))[0] == 429:
        assert b"Retry-After: 0.3" in answer[1]
        time.sleep(0.05)
    assert time.monotonic() - began > 0.29
    *during, after = server.stats()["arrivals"]
    assert {status for _, _, status in during} == {429}
    assert after[0] - during[0][0] >= 0.299
    assert ask(server, "/429-once?after=0.3")[0] == 200


@pytest.mark.parametrize("resets", [0, 1])
def test_flaky(server: Server, resets: int) -> None:
    """The same requests fail every time, a share of them by a reset."""
    path = f"/flaky?share=0.5&seed=7&resets={resets}"

    def outcome() -> int | None:
        try:
            return ask(server, path)[0]
        except ConnectionResetError:
            return None

    rounds = []
    for _ in range(2):
        rounds.append([outcome() for _ in range(30)])
        server.reset()
    assert rounds[0] == rounds[1]
    assert set(rounds[0]) == ({200, 500, None} if resets else {200, 500})


def test_outage(server: Server) -> None:
    path = "/outage?from=2&for=0.3&key=k"
    assert [ask(server, path)[0] for _ in range(4)] == [200, 200, 503, 503]
    time.sleep(0.3)
    assert ask(server, path)[0] == 200
    assert ask(server, "/outage?from=0&key=other")[0] == 503


def test_capacity(server: Server) -> None:
    with ThreadPoolExecutor(10) as pool:
        paths = ["/capacity?limit=4&s=0.5"] * 10
        statuses = sorted(status for status, _, _ in pool.map(lambda p: ask(server, p), paths))
    assert statuses == [200] * 4 + [429] * 6
    stats = server.stats()
    assert 4 <= stats["max_in_progress"]["paths"]["/capacity"] <= 5
    assert stats["in_progress"] == 0


def test_stale(server: Server) -> None:
    """The second request on a connection gets nothing; it is answered on a fresh one."""
    with connect(server) as connection:
        connection.sendall(request("/stale", last=False))
        assert read_answer(connection)[0] == 200
        connection.sendall(request("/stale", last=False))
        assert read_all(connection) == b""
    assert ask(server, "/stale")[0] == 200
    stats = server.stats()
    assert (stats["total"], stats["connections"]["dropped"]) == (2, 1)


def test_stale_idle(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(request("/stale/idle?s=0.4", last=False))
        assert read_answer(connection)[0] == 200
        connection.sendall(request("/ok", last=False))
        assert read_answer(connection)[0] == 200
        connection.sendall(request("/stale/idle?s=0.4", last=False))
        assert read_answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_unsolicited(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(request("/unsolicited", last=False))
        assert read_answer(connection)[1] == good("/unsolicited")
        assert read_answer(connection)[1] == b'{"unasked": true}'
        connection.sendall(request("/ok"))
        assert read_answer(connection)[1] == good("/ok", 2)


def test_early(server: Server) -> None:
    """The answer comes though the body has not."""
    with connect(server) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        assert read_answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_down(server: Server) -> None:
    """Connections are reset and refused; then the same port is back."""
    with connect(server) as connection:
        connection.sendall(request("/ok", last=False))
        assert read_answer(connection)[0] == 200
        began = time.monotonic()
        server.down(1)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    with pytest.raises(RuntimeError, match="409"):
        server.down(1)

    def is_back() -> bool:
        try:
            return ask(server, "/ok")[0] == 200
        except ConnectionRefusedError:
            return False

    until(is_back)
    assert time.monotonic() - began > 0.99


def test_reset(server: Server) -> None:
    assert ask(server, "/429?key=k")[0] == 429
    server.reset()
    stats = server.stats()
    assert (stats["total"], stats["paths"], stats["arrivals"]) == (0, {}, [])
    assert ask(server, "/429?key=k")[0] == 429


REASONS = {"expired": "expired", "foreign": "local issuer", "wronghost": "IP address mismatch"}


@pytest.mark.parametrize("kind", KINDS)
def test_certificates(server: Server, kind: str) -> None:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    port = int(server.tls_url(kind).rpartition(":")[2])
    with socket.create_connection((HOST, port), timeout=PATIENCE_S) as plain:
        if kind in REASONS:
            with pytest.raises(ssl.SSLCertVerificationError, match=REASONS[kind]):
                context.wrap_socket(plain, server_hostname=HOST)
            return
        with context.wrap_socket(plain, server_hostname=HOST) as connection:
            connection.sendall(request("/ok"))
            assert read_answer(connection)[1] == good("/ok")


def test_tls_reset(server: Server) -> None:
    """Below TLS it is a RST, which Python's TLS may well report as an end."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    port = int(server.tls_url("good").rpartition(":")[2])
    with (
        socket.create_connection((HOST, port), timeout=PATIENCE_S) as plain,
        plain.dup() as below,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request("/reset/before"))
        with pytest.raises(ConnectionResetError):
            read_all(below)


def test_not_http(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_many_connections(server: Server) -> None:
    """Hundreds of idle connections, each answered."""
    connections = [connect(server) for _ in range(400)]
    try:
        for connection in connections:
            connection.sendall(request("/ok?s=0.5", last=False))
        assert {read_answer(connection)[0] for connection in connections} == {200}
        assert server.stats()["connections"]["open"] == 400
    finally:
        for connection in connections:
            connection.close()


def test_the_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Killed tests leave no server behind: it would keep stderr open."""
    program = (
        "import os; from servers.running import Server; server = Server(tls=False);"
        "server.__enter__(); print(server.process.pid, flush=True); os._exit(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout.strip().isdigit(), done.stderr) == (True, b"")
