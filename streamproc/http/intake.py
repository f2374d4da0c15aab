"""How much of a large body is read: its record holds it, and without room no more is."""

from __future__ import annotations

import asyncio

from streamproc.http.contract import Request
from streamproc.interfaces import Share


class Intake:
    """Of one body, once it is large."""

    __slots__ = ("_held_bytes", "_is_paused", "_request", "_share", "_status", "_transport")

    def __init__(
        self, share: Share, request: Request, status: int, transport: asyncio.ReadTransport
    ) -> None:
        self._share = share
        self._request = request
        self._status = status
        self._transport = transport
        self._held_bytes = 0
        self._is_paused = False

    def hold(self, body_bytes: int) -> None:
        """So much of the body is here."""
        self._share.hold(body_bytes - self._held_bytes)
        self._held_bytes = body_bytes
        if not self._is_paused and not self._share.has_room:
            self._is_paused = True
            self._request.answering(self._status)
            self._share.wait(self._go_on)
            self._transport.pause_reading()

    def end(self) -> None:
        """The body is whole; its end may have come with what was to be the last for a while."""
        if self._is_paused:
            self._share.go_on()
            self._go_on()

    def _go_on(self) -> None:
        self._is_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
