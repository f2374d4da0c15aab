"""Descriptors of every kind, and what is left of them for the others who share them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, PATIENCE_S, environment, records, summary

LOOPS = ["uvloop", "asyncio"]


def modes(*fds: int) -> list[int]:
    return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]


def pipe() -> tuple[int, int]:
    theirs, ours = os.pipe()
    return ours, theirs


def pipe_out() -> tuple[int, int]:
    ours, theirs = os.pipe()
    return ours, theirs


def terminal() -> tuple[int, int]:
    return os.openpty()


def sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", [pipe, terminal, sockets])
def test_blocking_mode_of_stdin(start: Any, loop: str, kind: Any) -> None:
    """A blocking stdin is blocking during the run and after it: the shell shares it."""
    ours, theirs = kind()
    before = modes(theirs)
    process = start("-e", "none", "--loop", loop, "-", stdin=theirs)
    os.write(ours, b'{"a":1}\n')
    assert process.stdout.readline() == b'{"a":1}\n'
    during = modes(theirs)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143
    after = modes(theirs)
    os.close(ours)
    os.close(theirs)
    assert (during, after) == (before, before)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("kind", [pipe_out, terminal, sockets])
def test_blocking_mode_of_stdout(start: Any, loop: str, blocking: bool, kind: Any) -> None:
    """Stdout keeps its mode, also when it is full for a while, and takes all in the end."""
    ours, theirs = kind()
    os.set_blocking(theirs, blocking)
    before = modes(theirs)
    process = start("-e", "none", "--loop", loop, stdout=theirs)
    count, line = 300, b'{"a":"%s"}\n' % (b"x" * 3000)
    writer = threading.Thread(target=process.stdin.write, args=(line * count,))
    writer.start()
    first = os.read(ours, 1)
    during = modes(theirs)
    received = len(first)
    while received < (len(line) + (kind is terminal)) * count:
        received += len(os.read(ours, 1 << 16))
    writer.join()
    process.stdin.close()
    process.stdin = None
    assert process.wait(PATIENCE_S) == 0
    after = modes(theirs)
    os.close(ours)
    os.close(theirs)
    assert (during, after) == (before, before)


@pytest.mark.parametrize("loop", LOOPS)
def test_non_blocking_stdin(start: Any, loop: str) -> None:
    """A stdin that comes non-blocking is waited for, and stays as it came."""
    stdin, feed = os.pipe()
    os.set_blocking(stdin, False)
    process = start("-e", "none", "--loop", loop, stdin=stdin)
    os.write(feed, b'{"a":1}\n')
    assert process.stdout.readline() == b'{"a":1}\n'
    os.close(feed)
    assert process.wait(PATIENCE_S) == 0
    assert not os.get_blocking(stdin)
    os.close(stdin)


@pytest.mark.parametrize("loop", LOOPS)
def test_sockets_both_ways(start: Any, loop: str) -> None:
    """Stdin and stdout may be the same socket, as under inetd, and more than its buffer holds."""
    ours, theirs = socket.socketpair()
    count = 20_000
    with ours, theirs:
        process = start("-e", "none", "--loop", loop, stdin=theirs, stdout=theirs)
        theirs.close()
        sender = os.fork()
        if sender == 0:
            ours.sendall(b'{"a":1}\n' * count)
            ours.shutdown(socket.SHUT_WR)
            os._exit(0)
        with ours.makefile("rb") as file:
            assert file.read() == b'{"a":1}\n' * count
        assert os.waitpid(sender, 0)[1] == 0
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_terminal_on_stdout(start: Any, loop: str) -> None:
    """Records are written to a terminal as they finish."""
    ours, theirs = os.openpty()
    process = start("-e", "none", "--loop", loop, stdout=theirs)
    os.close(theirs)
    process.stdin.write(b'{"a":1}\n')
    assert os.read(ours, 100) == b'{"a":1}\r\n'
    process.stdin.close()
    process.stdin = None
    assert process.wait(PATIENCE_S) == 0
    os.close(ours)


def test_terminal_as_input_when_asked_for(start: Any) -> None:
    """`-` reads a terminal on stdin, to its end of file."""
    ours, theirs = os.openpty()
    process = start("-e", "none", "-", stdin=theirs)
    os.close(theirs)
    os.write(ours, b'{"a":1}\n\x04')
    out, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    assert (out, process.returncode) == (b'{"a":1}\n', 0)


def test_position_of_a_shared_file(run: Any, folder: Path) -> None:
    """A file on stdin is read from where it stands, not from its beginning."""
    (folder / "in").write_bytes(b"header\n{}\n")
    with (folder / "in").open("rb", buffering=0) as file:
        file.seek(7)
        assert run("-e", "none", stdin_file=file).stdout == b"{}\n"


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", script.replace("streamproc", " ".join(COMMAND))],
        capture_output=True, cwd=folder, env=environment({}), timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_closed_stderr(folder: Path) -> None:
    """Without a stderr messages go nowhere, least of all into the data."""
    done = shell(folder, "echo '{}' | streamproc -e none --summary json 2>&-")
    assert (done.returncode, done.stdout) == (0, b"{}\n")
    for arguments in ("-e nope", "--nope", "-e none missing", "-e stages.py:noo"):
        done = shell(folder, f"streamproc {arguments} 2>&-")
        assert done.stdout == b""
        assert done.returncode in (2, 66, 78)


@pytest.mark.parametrize("command", ["<a >>a", "<a -o a", "a >>a", "- -o link <a"])
def test_a_file_that_is_both(folder: Path, command: str) -> None:
    """An input that is the output is refused by redirection and through links as well."""
    (folder / "a").write_bytes(b"{}\n")
    (folder / "link").symlink_to("a")
    done = shell(folder, f"streamproc -e none {command}")
    assert done.returncode == 2
    assert b"both an input and the output" in done.stderr
    assert (folder / "a").read_bytes() == b"{}\n"


@pytest.mark.parametrize("bad", [["-o", "no/out"], ["-o", "out", "--dead-letter", "no/dead"]])
def test_output_that_cannot_be_created(run: Any, folder: Path, bad: list[str]) -> None:
    """73 with one line, and no other output is truncated for it."""
    (folder / "out").write_bytes(b"precious")
    done = run("-e", "none", *bad, stdin=b"{}\n")
    assert done.returncode == 73
    assert done.stderr.count(b"\n") == 1
    assert (folder / "out").read_bytes() == b"precious"


def test_input_that_breaks(run: Any, folder: Path) -> None:
    """An input that fails while it is read is 66; what was read before is written and counted."""
    (folder / "a").write_bytes(b'{"n":1}\n{"n":2}\n')
    done = run("-e", "stages.py:slow", "a", "/proc/self/mem", "a", "--summary", "json")
    assert done.returncode == 66
    assert [r["n"] for r in records(done.stdout)] == [1, 2]
    assert summary(done.stderr)["ok"] == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_bursts(start: Any, loop: str) -> None:
    """Bursts of any size come out whole before the next burst comes in."""
    process = start("-e", "stages.py:slow", "--loop", loop)
    for size in (1, 700, 2, 64, 1):
        process.stdin.write(b'{"pad":"0123456789"}\n' * size)
        expected = b'{"pad":"0123456789","ok":true}\n' * size
        received = b""
        while len(received) < len(expected):
            received += process.stdout.read(len(expected) - len(received))
        assert received == expected
    process.stdin.close()
    process.stdin = None
    assert process.wait(PATIENCE_S) == 0


def test_a_silent_end_keeps_the_account(start: Any) -> None:
    """When the reader goes away nothing is said, but a summary that was asked for adds up."""
    process = start("-e", "none", "--summary", "json")
    process.stdin.write(b'{"a":1}\n' * 4)
    assert process.stdout.readline() == b'{"a":1}\n'
    process.stdout.close()
    process.stdout = None
    process.stdin.write(b'{"a":1}\n' * 4)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 141
    assert err.count(b"\n") == 1
    counts = summary(err)
    assert (counts["received"], counts["ok"], counts["unprocessed"]) == (8, 4, 4)
