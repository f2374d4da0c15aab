"""What a service manager is told: READY=1, WATCHDOG=1, STOPPING=1."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import PATIENCE_S


class Manager:
    """Listens as systemd does; `environment` is what it starts services with."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self._socket.settimeout(PATIENCE_S)
        self.environment = {"NOTIFY_SOCKET": address}

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    @property
    def rest(self) -> list[str]:
        """All that came and was not looked at."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self.next())
            except BlockingIOError:
                return found

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            return not self.next()
        except TimeoutError:
            return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: Any, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@streamproc-{uuid4().hex}"
    manager = Manager(address)
    yield manager
    manager.close()


def test_a_service_is_ready_and_stops(start: Any, manager: Manager) -> None:
    """Ready when all is open, with an input that has not said anything yet."""
    process = start("-e", "none", env=manager.environment)
    assert manager.next() == "READY=1"
    process.send_signal(signal.SIGTERM)
    assert manager.next() == "STOPPING=1"
    process.stdin.close()
    assert process.wait() == 143
    assert set(manager.rest) <= {"STOPPING=1"}


def test_an_end_of_input_is_a_stop_too(run: Any, manager: Manager) -> None:
    assert run("-e", "none", stdin=b'{"n":1}\n', env=manager.environment).returncode == 0
    assert manager.rest == ["READY=1", "STOPPING=1"]


def test_a_sign_of_life_while_the_loop_turns(start: Any, manager: Manager) -> None:
    """At half of the time that it may be silent; none from a process that nobody watches."""
    watched = manager.environment | {"WATCHDOG_USEC": "100000"}
    process = start("-e", "none", env=watched)
    seen = [manager.next() for _ in range(5)]
    assert seen.count("READY=1") == 1
    assert seen.count("WATCHDOG=1") == 4
    process.stdin.close()
    assert process.wait() == 0
    assert set(manager.rest) <= {"WATCHDOG=1", "STOPPING=1"}
    other = watched | {"WATCHDOG_PID": str(os.getpid())}
    process = start("-e", "none", env=other)
    process.stdin.close()
    assert process.wait() == 0
    assert manager.rest == ["READY=1", "STOPPING=1"]


def test_a_loop_that_is_kept_gives_no_sign(start: Any, folder: Path, manager: Manager) -> None:
    """So that a service that hangs is started again."""
    (folder / "stuck.py").write_text(
        "import os, time\n"
        "def stuck(record):\n"
        "    open('begun', 'w').close()\n"
        "    while not os.path.exists('over'):\n"
        "        time.sleep(0.01)\n"
    )
    watched = manager.environment | {"WATCHDOG_USEC": "100000"}
    process = start("-e", "stuck.py:stuck", env=watched)
    process.stdin.write(b'{"n":1}\n')
    last_s = time.monotonic() + PATIENCE_S
    while not (folder / "begun").exists():
        assert time.monotonic() < last_s
        time.sleep(0.01)
    assert "READY=1" in manager.rest
    assert manager.is_silent(0.5)  # for ten signs
    (folder / "over").touch()
    process.stdin.close()
    assert process.wait() == 0


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1", "@nobody", ""])
def test_a_manager_that_does_not_listen_changes_nothing(run: Any, address: str) -> None:
    done = run("-e", "none", stdin=b'{"n":1}\n', env={"NOTIFY_SOCKET": address})
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"n":1}\n', b"")
