"""Server-sent events of a run: the figures once a second, and each change of state."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from streamproc.codec import encode
from streamproc.telemetry.figures import Figures
from streamproc.telemetry.reading import Reading

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

_EVERY_S = 1.0
_MOST_READERS = 32  # so that half of the monitor's connections are left for others
_MOST_BYTES = 64 << 10  # that wait for a reader: then it is dropped


class Events:
    """Asked in the monitor's loop. `read` gives a reading, `state` says how the run is."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Reading]],
        figures: Figures,
        state: Callable[[Reading], str],
    ) -> None:
        self._read = read
        self._figures = figures
        self._state = state
        self._readers: set[EventStream] = set()

    @property
    def followed(self) -> set[object]:
        """The connections of those who follow, which last as long as they like."""
        return {reader.connection for reader in self._readers}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What has been so far; then, outside of anybody's turn, what comes."""
        if len(self._readers) >= _MOST_READERS:
            return web.Response(status=503, text="as many follow as can; try again later\n")
        reading = await self._read()
        stream = EventStream(self._readers)
        history = _event("history", self._figures.history())
        stream.first = history + self._changes(reading, stream) + self._now(reading)
        return stream

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._readers:
                self._tell(await self._read())

    async def close(self) -> None:
        """The run is over: its last figures, and that there are no more."""
        if self._readers:
            self._tell(await self._read(), is_end=True)
        for reader in list(self._readers):
            reader.leave()

    def _tell(self, reading: Reading, *, is_end: bool = False) -> None:
        now = self._now(reading, "ended") + _event("end", {}) if is_end else self._now(reading)
        for reader in list(self._readers):
            reader.send(self._changes(reading, reader) + now)

    def _changes(self, reading: Reading, stream: EventStream) -> bytes:
        changes = self._figures.changes(reading, stream.told)
        if changes:
            stream.told = changes[-1]["number"]
        return b"".join(_event("state", each) for each in changes)

    def _now(self, reading: Reading, state: str = "") -> bytes:
        return _event("figures", self._figures.of(reading, state or self._state(reading)))


class EventStream(web.StreamResponse):
    """Begins with `first`, and is one of `readers` from then on; `told` is the last change.

    It goes on in `write_eof`, where aiohttp sends what a handler has answered: whoever asks next
    does not wait for its end.
    """

    def __init__(self, readers: set[EventStream]) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream"})
        self.first = b""
        self.told = 0
        self.connection: Any = None
        self._readers = readers
        self._transport: Any = None
        self._news: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting_bytes = 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """See `StreamResponse`."""
        if request.method == "GET" and request.transport is not None:
            self._transport, self.connection = request.transport, request.protocol
            # what the kernel keeps for a reader that is slow is bounded as well
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_BYTES
            )
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """See `StreamResponse`."""
        if self._transport is not None:
            await self.write(self.first)
            self._readers.add(self)
            try:
                while news := await self._news.get():
                    self._waiting_bytes -= len(news)
                    await self.write(news)
            finally:
                self._readers.discard(self)
        await super().write_eof(data)

    def send(self, data: bytes) -> None:
        """A reader that does not keep up is dropped, and so is one that is gone."""
        if self._waiting_bytes + self._transport.get_write_buffer_size() > _MOST_BYTES:
            self._transport.abort()
        if self._transport.is_closing():
            self._readers.discard(self)
            self.leave()
        else:
            self._waiting_bytes += len(data)
            self._news.put_nowait(data)

    def leave(self) -> None:
        """It ends."""
        self._news.put_nowait(b"")


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))
