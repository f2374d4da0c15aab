"""What systemd is told of a run: sd_notify(3), by its own protocol."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Self

from streamproc.interfaces import Draining, Observer, ObserverKind, RunEnded, RunStarted

log = logging.getLogger("streamproc")

_SHARE = 0.5  # of the time after which a silent service counts as hung: sd_watchdog_enabled(3)


class SystemdUnit(ObserverKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The service manager that listens at `address`, and wants a sign every `watchdog_s`."""

    address: str
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """The one that started this process, None if it was somebody else."""
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in ("/", "@"):
            return None
        micros = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        watchdog_s = int(micros) / 1e6 if is_ours and micros.isdecimal() else 0.0
        return cls(address=address, watchdog_s=watchdog_s or None)

    def opened(self) -> Observer:
        """See `ObserverKind`."""
        return Notifier(self)


class Notifier(Observer):
    """Says when the run is ready, when it stops, and, from then on when it is entered, that its
    event loop turns.
    """

    wanted = frozenset((RunStarted, Draining, RunEnded))

    def __init__(self, unit: SystemdUnit) -> None:
        # a name that begins with @ is in the abstract namespace: unix(7)
        self._address = (
            unit.address.replace("@", "\0", 1) if unit.address[0] == "@" else unit.address
        )
        self._watchdog_s = unit.watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._watch()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._socket.close()

    def state_changed(self, event: object) -> None:
        """See `Observer`."""
        self._send("READY=1" if isinstance(event, RunStarted) else "STOPPING=1")

    def _watch(self) -> None:
        if self._watchdog_s is not None:
            self._send("WATCHDOG=1")
            after_s = self._watchdog_s * _SHARE
            self._timer = asyncio.get_running_loop().call_later(after_s, self._watch)

    def _send(self, state: str) -> None:
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError as error:  # nobody listens: the run goes on
            log.debug("systemd: %s", error)
