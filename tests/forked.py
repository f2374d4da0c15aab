"""Commands that begin where all is imported: as copies of a process that did so once.

To start Python and to import what the command needs is most of what a command costs in a test.
Tests marked `forked` look at what it does with records, files and arguments, whatever happened
before its first line: theirs begin in a fork. All others start it as its users do; and so do these,
where they ask for something that is settled at the start of an interpreter.

The workers of a command with `-w` are forks as well, of a child that it had before its first line;
where a test looks at the children of a command, or at how a worker starts, it says
`forked(workers="started")`. Workers that a pipeline file or the load ask for are started.

A fork differs from a command: more modules are imported, what `leads` knows is read, hashes of
texts have the seed of their process, and /proc tells its name. Descriptors, environment, working
directory, `sys.path`, signals, and whose child it is are the same: tests/test_forked.py.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import dropwhile
from pathlib import Path
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

# what every command, the default stage, an http stage and its policies import, much of it late
MODULES = (
    *("streamproc.cli.early", "streamproc.cli.run", "streamproc.cli.launch"),
    *("streamproc.cli.worker", "streamproc.engines.worker_pool"),
    *("streamproc.cli.http_flags", "streamproc.cli.same_file", "streamproc.config.load"),
    *("streamproc.assembly.growth", "uvloop", "difflib", "tomllib", "aiofiles", "zipfile"),
    *("probablepeople", "pycountry", "usaddress"),
    *("streamproc.enrichers.http_bulk", "streamproc.enrichers.layered", "streamproc.http.lean"),
    *("streamproc.policies.stack", "streamproc.policies.health", "streamproc.policies.outage"),
)
# the beginnings of names of what Python, its C library and its locale look at only once
SETTLED = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
PR_SET_CHILD_SUBREAPER = 36
MOST_DESCRIPTORS = 64
MOST_PASSED = 1  # beside the three that each process has
ASKS = ("-w", "--workers")
_SIZE = 4  # bytes of a number on the wire
_given = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]  # private


class Nursery:
    """The process at the other end of `wire`, which is forked; it has that environment."""

    def __init__(self, wire: socket.socket, environment: dict[str, str]) -> None:
        self.wire = wire
        self.environment = environment
        self._turn = Lock()  # threads of a test begin commands; a request goes with its answer

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The process id of a child of ours."""
        message = json.dumps(request).encode()
        with self._turn, adopting():
            socket.send_fds(self.wire, [len(message).to_bytes(_SIZE, "big")], descriptors)
            self.wire.sendall(message)
            return int.from_bytes(received(self.wire, _SIZE), "big")


class Server(Nursery):
    """One that was started; it ends when its wire is closed."""

    def __init__(self, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours, environment)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def close(self) -> None:
        self.wire.close()
        self._process.wait()


class Forked(subprocess.Popen[bytes]):
    """`Forked(server, command, ...)` is as `subprocess.Popen(command, ...)`."""

    def __init__(
        self,
        nursery: Nursery,
        command: list[str],
        *,
        workers: Literal["forked", "started"] = "forked",
        **options: Any,
    ) -> None:
        self._nursery = nursery
        self._workers = workers
        super().__init__(command, **options)

    def _execute_child(self, *arguments: Any) -> None:
        given = _given.bind(self, *arguments).arguments
        if not self._can_be_forked(given):
            super()._execute_child(*arguments)  # type: ignore[misc]  # as above
            return
        request = {
            "arguments": list(dropwhile(lambda each: each not in ("-m", "-c"), given["args"])),
            "environment": dict(os.environ) if given["env"] is None else given["env"],
            "folder": os.fspath(given["cwd"] or os.getcwd()),
            "session": given["start_new_session"],
            "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "passed": given["pass_fds"],
            "workers": self._workers,
        }
        pipes = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        descriptors = [k if fd == -1 else fd for k, fd in enumerate(pipes)]
        self.pid = self._nursery.fork(request, [*descriptors, *given["pass_fds"]])
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in ends))  # type: ignore[attr-defined]

    def _can_be_forked(self, given: dict[str, Any]) -> bool:
        ours, theirs = self._nursery.environment, given["env"]
        theirs = os.environ if theirs is None else theirs
        return not (
            given["args"][0] != sys.executable
            or given["preexec_fn"]
            or len(given["pass_fds"]) > MOST_PASSED
            or given["process_group"] != -1
            or any(
                ours.get(name) != theirs.get(name)
                for name in ours.keys() | theirs.keys()
                if name.startswith(SETTLED)
            )
        )


@contextmanager
def adopting() -> Iterator[None]:
    """Meanwhile a process whose parent ends becomes a child of ours."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def received(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = wire.recv(size - len(data))
        if not more:
            raise EOFError("the other end of the wire was closed")
        data += more
    return data


def serve(wire: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us decides when to end
    for name in MODULES:
        import_module(name)
    import_module("streamproc.enrichers.leads")._prepare()  # a third of a second, for each of them
    gc.collect()
    gc.freeze()
    fork_for(wire)


def fork_for(wire: socket.socket) -> None:
    """One fork for each request, until the wire is closed; its parent is who has asked."""
    while True:
        size, descriptors, _, _ = socket.recv_fds(wire, _SIZE, 3 + MOST_PASSED)
        if not size:
            return
        request = json.loads(received(wire, int.from_bytes(size, "big")))
        (answer, told), (adopted, orphaned) = os.pipe(), os.pipe()
        # its parent ends, and the nearest that adopts is who has asked
        if (between := os.fork()) == 0:
            if (pid := os.fork()) == 0:
                wire.detach()
                os.close(orphaned)
                os.read(adopted, 1)  # it may ask to end with its parent
                become_the_command(request, descriptors)
            os.write(told, pid.to_bytes(_SIZE, "big"))
            os._exit(0)
        os.waitpid(between, 0)
        wire.sendall(os.read(answer, _SIZE))
        for each in (*descriptors, answer, told, adopted, orphaned):
            os.close(each)


def become_the_command(request: dict[str, Any], descriptors: list[int]) -> None:
    """As `python -m streamproc` begins, or what it starts a worker with. Never returns."""
    try:
        numbers = [0, 1, 2, *request["passed"]]
        for number, each in zip(numbers, descriptors, strict=True):
            os.dup2(each, number)
        for number in set(range(3, MOST_DESCRIPTORS)).difference(numbers):
            os.closerange(number, number + 1)
        if request["session"]:
            os.setsid()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            renew(number, name)
        kind, named, *rest = request["arguments"]
        if kind == "-c":
            become_a_worker(named, rest)
        sys.argv = [named, *rest]
        sys.path[0] = request["folder"]
        if request["workers"] == "forked" and any(each.startswith(ASKS) for each in rest):
            fork_workers()
        runpy.run_module(named, run_name="__main__", alter_sys=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def fork_workers() -> None:
    """From here on what this process starts as its workers are forks of a child that it has now."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # it ends with its parent
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):  # pipes of its parent end with that
            os.dup2(nothing, number)
        os.close(nothing)
        fork_for(theirs)
        os._exit(0)
    theirs.close()
    # out of the way: a command has the descriptors that it has elsewhere
    number = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, MOST_DESCRIPTORS)
    ours.close()
    nursery = Nursery(socket.socket(fileno=number), dict(os.environ))
    pool = import_module("streamproc.engines.worker_pool")
    vars(pool)["subprocess"] = SimpleNamespace(
        Popen=partial(Forked, nursery), DEVNULL=subprocess.DEVNULL
    )


def become_a_worker(program: str, arguments: list[str]) -> None:
    del sys.path[0]  # as `-P` does
    sys.argv = ["-c", *arguments]
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(program, vars(main))  # noqa: S102 - as the interpreter does


def renew(number: int, name: str) -> None:
    """A stream that knows nothing of what its descriptor was, set as the interpreter set it."""
    old = getattr(sys, name)
    new = os.fdopen(number, old.mode, encoding=old.encoding, errors=old.errors, closefd=False)
    by_line = old.line_buffering or (number == 1 and os.isatty(number))
    new.reconfigure(line_buffering=by_line, write_through=old.write_through)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    serve(socket.socket(fileno=int(sys.argv[1])))
