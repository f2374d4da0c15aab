"""Commands that begin where all is imported: as copies of a process that did so once.

To start Python and to import what the command needs is most of what a command costs in a test.
Tests marked `forked` look at what it does with records, files and arguments, whatever happened
before its first line: theirs begin in a fork. All others start it as its users do; and so do these,
where they ask for something that is settled at the start of an interpreter.

A fork differs from a command: more modules are imported, what `leads` knows is read, hashes of
texts have the seed of their process, and /proc tells its name. Descriptors, environment, working
directory, `sys.path`, signals, and whose child it is are the same: tests/test_forked.py.
"""

from __future__ import annotations

import ctypes
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
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

# what every command, the default stage, an http stage and its policies import, much of it late
MODULES = (
    *("streamproc.cli.early", "streamproc.cli.run", "streamproc.cli.launch"),
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
_SIZE = 4  # bytes of a number on the wire
_given = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]  # private


class Server:
    """The process that is forked; it ends when its wire is closed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.wire, theirs = socket.socketpair()
        self._turn = Lock()  # threads of a test begin commands; a request goes with its answer
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The process id of a child of ours."""
        message = json.dumps(request).encode()
        with self._turn, adopting():
            socket.send_fds(self.wire, [len(message).to_bytes(_SIZE, "big")], descriptors)
            self.wire.sendall(message)
            return int.from_bytes(received(self.wire, _SIZE), "big")

    def close(self) -> None:
        self.wire.close()
        self._process.wait()


class Forked(subprocess.Popen[bytes]):
    """`Forked(server, command, ...)` is as `subprocess.Popen(command, ...)`."""

    def __init__(self, server: Server, command: list[str], **options: Any) -> None:
        self._server = server
        super().__init__(command, **options)

    def _execute_child(self, *arguments: Any) -> None:
        given = _given.bind(self, *arguments).arguments
        if not self._can_be_forked(given):
            super()._execute_child(*arguments)  # type: ignore[misc]  # as above
            return
        request = {
            "arguments": given["args"][3:],
            "environment": given["env"],
            "folder": os.fspath(given["cwd"]),
            "session": given["start_new_session"],
        }
        pipes = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        descriptors = [k if fd == -1 else fd for k, fd in enumerate(pipes)]
        self.pid = self._server.fork(request, descriptors)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in ends))  # type: ignore[attr-defined]

    def _can_be_forked(self, given: dict[str, Any]) -> bool:
        ours, theirs = self._server.environment, given["env"]
        return not (
            given["preexec_fn"]
            or given["pass_fds"]
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
    while True:
        size, descriptors, _, _ = socket.recv_fds(wire, _SIZE, 3)
        if not size:
            return
        request = json.loads(received(wire, int.from_bytes(size, "big")))
        answer, told = os.pipe()
        # its parent ends, and the nearest that adopts is who has asked
        if (between := os.fork()) == 0:
            if (pid := os.fork()) == 0:
                wire.detach()
                become_the_command(request, descriptors)
            os.write(told, pid.to_bytes(_SIZE, "big"))
            os._exit(0)
        os.waitpid(between, 0)
        wire.sendall(os.read(answer, _SIZE))
        for each in (*descriptors, answer, told):
            os.close(each)


def become_the_command(request: dict[str, Any], descriptors: list[int]) -> None:
    """As `python -m streamproc` begins. Never returns."""
    try:
        for number, each in enumerate(descriptors):
            os.dup2(each, number)
        os.closerange(3, MOST_DESCRIPTORS)
        if request["session"]:
            os.setsid()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            renew(number, name)
        sys.argv = ["streamproc", *request["arguments"]]
        sys.path[0] = request["folder"]
        runpy.run_module("streamproc", run_name="__main__", alter_sys=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def renew(number: int, name: str) -> None:
    """A stream that knows nothing of what its descriptor was, set as the interpreter set it."""
    old = getattr(sys, name)
    new = os.fdopen(number, old.mode, encoding=old.encoding, errors=old.errors, closefd=False)
    new.reconfigure(line_buffering=old.line_buffering, write_through=old.write_through)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    serve(socket.socket(fileno=int(sys.argv[1])))
