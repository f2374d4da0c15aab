"""A worker process, started by its parent only (`engines.worker_pool`).

It ends with its parent, whatever it is doing then.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import signal
import socket
import sys
import time
from typing import Any

from streamproc.assembly import Pipeline
from streamproc.assembly.listeners import followers_of
from streamproc.cli.launch import new_loop, write_beside_progress
from streamproc.cli.leave import lines_of, whose_bug
from streamproc.cli.settled import keep_freed_memory, settle
from streamproc.engines.framing import FrameProtocol, Kind, unpack_work
from streamproc.engines.local import LocalEngine
from streamproc.engines.worker import EventRelay, Inbox, Outbox
from streamproc.engines.worker_pool import SIGNALS
from streamproc.enrichers.imports import adopt
from streamproc.errors import StreamprocError
from streamproc.interfaces import ExportFailed
from streamproc.memory import Hold, Memory
from streamproc.pipeline.channel import Channel
from streamproc.secrets import hide_all
from streamproc.shown import traceback_lines
from streamproc.telemetry.log import configure

_BEAT_S = 0.2
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class _Worker:
    """Frames in, engine, frames out."""

    def __init__(self) -> None:
        self.wire = FrameProtocol(self._framed, self._lost, self._full)
        self._setup: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._channel = Channel(0)
        self._inbox: Inbox | None = None
        self._memory = Memory()
        self._engine: LocalEngine | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_winding_down = False

    async def run(self) -> None:
        """Until the parent says that it is the end."""
        settings, hidden, paths, wanted = pickle.loads(await self._setup)
        hide_all(hidden)
        adopt(*paths)
        if settings.progress:
            write_beside_progress()
        configure(settings.log_level, settings.log_format, sys.stderr)
        try:
            loop = asyncio.get_running_loop()

            def tell(event: ExportFailed) -> None:
                loop.call_soon_threadsafe(events.tell, event)

            followers = followers_of(settings, tell)
            events = EventRelay(self.wire, wanted, followers)
            pipeline = Pipeline.from_settings(settings, events)
            async with followers:
                await self._work(pipeline, events)
            events.flush()
        except StreamprocError as error:
            text = "\n".join(lines_of(error))
            self.wire.send(Kind.FATAL, pickle.dumps((text, error.exit_code)))
        except Exception as error:
            said = f"in a worker: a bug in {whose_bug(error)}; please report it:"
            text = "\n".join([said, *traceback_lines(error)])
            self.wire.send(Kind.FATAL, pickle.dumps((text, 1)))

    async def _work(self, pipeline: Pipeline, events: EventRelay) -> None:
        self._task = asyncio.current_task()
        engine = self._engine = pipeline.local_engine()
        signal.signal(signal.SIGCONT, lambda number, frame: engine.thaw())
        self._memory.resize(pipeline.settings.max_memory)
        outbox = Outbox(self.wire, self._memory, events)
        ahead = 0 if engine.is_inline else 2 * pipeline.settings.concurrency
        self._inbox = Inbox(self._channel, ahead, lambda: self.wire.send(Kind.WANT))
        try:
            async with engine:
                settle()
                keep_freed_memory()
                self.wire.send(Kind.READY)
                self._inbox.ask_if_low()
                beating = asyncio.create_task(self._beat(engine, pipeline, events))
                try:
                    await engine.run(self._inbox, outbox)
                finally:
                    beating.cancel()
                    outbox.flush()
                if self._is_winding_down:
                    self.wire.send(Kind.DONE)
                    await asyncio.get_running_loop().create_future()  # until END or ABORT
        except asyncio.CancelledError:
            outbox.flush()
        self._task = None  # it ends by itself
        self._say(engine, pipeline)

    async def _beat(self, engine: LocalEngine, pipeline: Pipeline, events: EventRelay) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            events.flush()
            self._say(engine, pipeline)

    def _say(self, engine: LocalEngine, pipeline: Pipeline) -> None:
        since_s = engine.busy_since_s
        busy_s = 0.0 if since_s is None else time.monotonic() - since_s
        said = engine.in_flight, busy_s, pipeline.counts, engine.waits(), engine.allowances()
        self.wire.send(Kind.BEAT, pickle.dumps(said))

    def _framed(self, kind: Kind, body: memoryview) -> None:
        match kind:
            case Kind.SETUP:
                self._setup.set_result(bytes(body))
            case Kind.WORK:
                assert self._inbox is not None
                self._inbox.add(unpack_work(body))
            case Kind.HOLD:
                self._memory.hold(Hold(body[0]))
            case Kind.WIND_DOWN:
                self._is_winding_down = True
                if self._engine is not None:
                    self._engine.wind_down()
                self._channel.close()
            case Kind.ABORT:
                self._stop()
            case Kind.END if self._is_winding_down:
                self._stop()
            case Kind.END:
                self._channel.close()
            case _:
                raise AssertionError(kind)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _full(self, is_full: bool) -> None:
        """Nobody takes in more until the parent has taken what was sent."""
        if is_full:
            self._memory.charge(self._memory.limit_bytes)
            self._memory.leave(self._memory.limit_bytes)
        else:
            self._memory.written(self._memory.limit_bytes)

    def _lost(self) -> None:
        os._exit(0)  # the parent is gone: nobody wants to know


def main() -> None:
    """Work for the parent at the other end of the descriptor."""
    _die_with_parent()
    for number in SIGNALS:
        # meant for the parent, which ends us; a handler and not SIG_IGN, which is inherited
        signal.signal(number, lambda n, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    asyncio.set_event_loop(loop := new_loop(None))
    wire = socket.socket(fileno=int(sys.argv[1]))
    wire.set_inheritable(False)  # it came through exec, and goes no further
    loop.run_until_complete(_serve(wire))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


async def _serve(sock: socket.socket) -> None:
    sock.setblocking(False)
    worker = _Worker()
    await asyncio.get_running_loop().create_connection(lambda: worker.wire, sock=sock)
    await worker.run()
    await _sent(worker.wire)


async def _sent(wire: FrameProtocol) -> None:
    """Wait until the parent has all of it."""
    transport: Any = wire.transport
    while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.001)


def _die_with_parent() -> None:
    """Also in the middle of a call that does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == 1:  # it was too late already
            os._exit(0)
