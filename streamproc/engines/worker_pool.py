"""The workers as their parent sees them: a process, a wire, and the lines that each has."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamproc.engines.framing import FrameProtocol, Kind, pack_work, unpack_run, unpack_scattered
from streamproc.engines.work_item import WorkItem
from streamproc.interfaces import Audience, Finished, WorkerState
from streamproc.memory import Hold
from streamproc.waits import Allowance, Wait

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""To a whole process group: the parent ends, and then its workers."""

Counts = dict[Hashable, Any]
"""What is counted by stage, each with `add` and `reset`."""

_ROOT = str(Path(__file__).parents[2])
# Not `-m`: a folder named streamproc in the working directory is not ours, and where we are
# found only because of that directory, a worker finds us, too. What it imports stays: garbage
# is not looked for among that.
_PROGRAM = (
    "import gc, sys; gc.set_threshold(100_000, 50, 100); sys.path.insert(0, sys.argv.pop()); "
    "import streamproc; del sys.path[0]; "
    "from streamproc.cli.worker import main; main()"
)
_QUIET_S = 0.05  # nothing more comes of a dead worker when nothing has come for so long
_END_S = 2.0  # what a worker gets to end, once it has closed its wire


class WorkerPool:
    """What a process engine is told of its workers.

    `setup(k)` is what worker k is started with, `audience` hears of what happens in them.
    `is_inline`: it does one record after the other. `hang_s`: when nothing comes of it for so
    long, it hangs. `stage` is blamed.
    """

    def __init__(
        self,
        count: int,
        setup: Callable[[int], bytes],
        audience: Audience,
        *,
        is_inline: bool,
        hang_s: float,
        stage: str,
        max_restarts: int,
    ) -> None:
        self.count = count
        self.setup = setup
        self.audience = audience
        self.is_inline = is_inline
        self.hang_s = hang_s
        self.stage = stage
        self.max_restarts = max_restarts


class WorkerProcess:
    """Started by `start`, ended by `end` or `kill`; `gone` is done when the process has ended."""

    def __init__(
        self,
        place: int,
        on_frame: Callable[[WorkerProcess, Kind, memoryview], None],
        on_gone: Callable[[WorkerProcess], None],
    ) -> None:
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._next = 0
        self._sends_headers = False  # of messages, to who follows records there
        self.place = place  # among the workers
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._is_wire_lost = False
        self._has_waited = False  # for what it had sent
        self._wire = FrameProtocol(self._framed, self._lost)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.spans: dict[int, WorkItem] = {}  # by number, in the order in which they were given
        self.wants = False
        self.is_done = False  # it was wound down, or is ending
        self._hold = Hold.NONE
        self.is_hung = False  # it was killed because nothing came of it any more
        self.heard_s = time.monotonic()
        self.done_s = self.heard_s  # when it last completed a span
        self._done = 0  # lines
        self.in_flight = 0
        self.busy_s = 0.0
        self.counts: Counts = {}
        self.waits: list[Wait] = []
        self.allowances: list[Allowance] = []

    async def start(self, pool: WorkerPool) -> None:
        """A fresh interpreter: nothing of this loop and its threads goes along."""
        self._sends_headers = pool.audience.follow is not None
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        command = [sys.executable, *_flags(), "-c", _PROGRAM, str(fd), _ROOT]
        with theirs, _signals_wait():
            self._process = subprocess.Popen(  # noqa: ASYNC220 - `_watch` sees its end
                command, pass_fds=(fd,), stdin=subprocess.DEVNULL
            )
        self._watch(self._process)
        ours.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: self._wire, sock=ours)
        self.heard_s = time.monotonic()
        self._wire.send(Kind.SETUP, pool.setup(self.place))

    @property
    def is_alone(self) -> bool:
        """Whether it has a span that is under suspicion, and must not get another one."""
        return any(span.alone for span in self.spans.values())

    def give(self, span: WorkItem) -> None:
        """One more span."""
        if not self.spans:
            self.heard_s = self.done_s = time.monotonic()
        self.wants = False
        self._next += 1 << 32  # as the numbers of batches: plus a line it is the age of a record
        self.spans[self._next] = span
        work = pack_work(
            self._next, span.batch, span.start, span.stop, with_headers=self._sends_headers
        )
        self._wire.send(Kind.WORK, *work)

    def take_results(self, kind: Kind, body: memoryview, finished: Finished) -> WorkItem | None:
        """What RUN or SCATTERED says is finished; returns the span if all of it is."""
        if kind is Kind.RUN:
            number, start, count, lines, notes = unpack_run(body)
            span = self.spans[number]
            first = span.start + start
            if lines is None:
                lines = span.batch.lines[first : first + count]
            finished.finish_run(span.batch, first, lines, {first + i: n for i, n in notes.items()})
        else:
            number, indices, lines, notes = unpack_scattered(body)
            count = len(indices)
            span = self.spans[number]
            for place, (i, line) in enumerate(zip(indices, lines, strict=True)):
                finished.finish(span.batch, span.start + i, line, notes.get(place))
        span.left -= count
        self._done += count
        return None if span.left else self.spans.pop(number)

    def hear(self, body: memoryview) -> None:
        """What BEAT says of it."""
        self.in_flight, self.busy_s, *counted = pickle.loads(body)
        self.counts, self.waits, self.allowances = counted

    def tell(self, kind: Kind) -> None:
        """WIND_DOWN, ABORT or END."""
        self.is_done = self.is_done or kind is not Kind.WIND_DOWN
        self._wire.send(kind)

    def hold(self, hold: Hold) -> None:
        """Who waits in it from here on."""
        if hold is not self._hold:
            self._hold = hold
            self._wire.send(Kind.HOLD, bytes((hold,)))

    @property
    def state(self) -> WorkerState:
        """Of this moment."""
        pid = None if self._process is None else self._process.pid
        held = sum(span.left for span in self.spans.values())
        return WorkerState(self.place, pid, self._done, held, self.in_flight, self.busy_s)

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()

    @property
    def was_killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self._process is not None and self._process.returncode == -signal.SIGKILL

    def how_it_ended(self) -> str:
        """For messages."""
        if self.is_hung:
            return "nothing came of a worker any more, it was killed"
        code = self._process.returncode if self._process is not None else None
        if code is None or code >= 0:
            return f"its worker exited with {code}"
        name = signal.Signals(-code).name
        more = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its worker was killed by {name}{more}"

    def _framed(self, kind: Kind, body: memoryview) -> None:
        self.heard_s = time.monotonic()
        self._on_frame(self, kind, body)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Hear of its end from the kernel: what a stage has forked may hold the wire open."""
        loop = asyncio.get_running_loop()
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except (AttributeError, OSError):  # no Linux, or an old one

            def wait() -> None:
                process.wait()
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._died)

            threading.Thread(target=wait, daemon=True).start()
        else:
            loop.add_reader(self._pidfd, self._died)

    def _died(self) -> None:
        """The process has ended; what it has sent may not have come yet."""
        assert self._process is not None
        self._process.wait()
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self._look_whether_quiet(self._wire.received_bytes)

    def _look_whether_quiet(self, received_bytes: int) -> None:
        now = self._wire.received_bytes
        if self._is_wire_lost:
            self._end()
        elif now == received_bytes and self._has_waited:
            self._wire.abort()
            self._end()
        else:
            self._has_waited = True
            asyncio.get_running_loop().call_later(_QUIET_S, self._look_whether_quiet, now)

    def _lost(self) -> None:
        """The wire ends with the process, or shortly before it."""
        self._is_wire_lost = True
        if self._process is not None and self._process.returncode is not None:
            self._end()
        else:
            asyncio.get_running_loop().call_later(_END_S, self.kill)

    def _end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
            self._on_gone(self)


def add_up(totals: Counts, parts: Iterable[Counts]) -> None:
    """`totals` of what several workers counted."""
    for total in totals.values():
        total.reset()
    for counts in parts:
        for key, total in totals.items():
            if key in counts:
                total.add(counts[key])


@contextmanager
def _signals_wait() -> Iterator[None]:
    """A process started meanwhile gets them when it asks for them: a Ctrl-C is meant for us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _flags() -> list[str]:
    """Of the interpreter; what decides where modules are found is as it is here, or stricter."""
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    return ["-P", *(flag for flag, is_set in flags.items() if is_set)]
