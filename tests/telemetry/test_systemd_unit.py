"""The service manager hears when a run is ready and stops, and that its loop turns."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamproc.interfaces import Draining, RunEnded, RunStarted
from streamproc.telemetry.systemd import SystemdUnit

OURS = str(os.getpid())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "relative"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, SystemdUnit(address="/run/n")),
        (
            {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": OURS},
            SystemdUnit(address="@n", watchdog_s=2.5),
        ),
        (
            {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"},
            SystemdUnit(address="@n"),
        ),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, SystemdUnit(address="@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, SystemdUnit(address="@n")),
    ],
)
def test_the_environment_says_who_listens(
    environment: dict[str, str], expected: SystemdUnit | None
) -> None:
    """A watchdog of another process is not ours to feed."""
    assert SystemdUnit.of(environment) == expected


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def said(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(100).decode())
        except BlockingIOError:
            return found


def told(unit: SystemdUnit, *events: object) -> None:
    async def main() -> None:
        async with unit.opened() as notifier:  # type: ignore[attr-defined]  # a Notifier
            for event in events:
                notifier.state_changed(event)

    asyncio.run(main())


def test_it_hears_the_state_of_the_run(manager: socket.socket) -> None:
    told(SystemdUnit(address=manager.getsockname()), RunStarted("a"), RunEnded(0, None, {}))
    assert said(manager) == ["READY=1", "STOPPING=1"]


def test_a_sign_comes_twice_in_the_time_that_it_wants(manager: socket.socket) -> None:
    async def main() -> None:
        unit = SystemdUnit(address=manager.getsockname(), watchdog_s=0.02)
        async with unit.opened():  # type: ignore[attr-defined]  # a Notifier
            loop, heard = asyncio.get_running_loop(), list[str]()
            until_s = loop.time() + 10
            while len(heard) < 4 and loop.time() < until_s:
                await asyncio.sleep(0.005)
                heard += said(manager)
        assert heard[:4] == ["WATCHDOG=1"] * 4

    asyncio.run(main())


def test_nobody_who_listens_stops_no_run(tmp_path: Path) -> None:
    told(SystemdUnit(address=str(tmp_path / "gone"), watchdog_s=60.0), Draining(1))
