"""The command in pipes, as people use it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamproc.pipes import PIPE_BYTES
from tests.conftest import COMMAND, PATIENCE_S, environment, records, summary

pytestmark = pytest.mark.forked

SHELL = " ".join(COMMAND)


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    script = script.replace("streamproc", SHELL)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{script}"],
        capture_output=True,
        cwd=folder,
        env=environment({}),
        timeout=PATIENCE_S,
        check=False,
    )


def test_head_ends_the_pipe_in_silence(folder: Path) -> None:
    """A reader that goes away is exit 141 without a word, as for `yes`."""
    done = shell(folder, """yes '{"a":1}' | streamproc -e none | head -1; echo ${PIPESTATUS[1]}""")
    assert done.stdout == b'{"a":1}\n141\n'
    assert done.stderr == b""


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_between_jq_and_jq(folder: Path) -> None:
    """jq's output comes in, and what goes out is JSON Lines for jq."""
    done = shell(
        folder, "jq -cn 'range(2000) | {n: .}' | streamproc -e stages.py:slow | jq -s length"
    )
    assert done.stdout == b"2000\n"
    assert done.returncode == 0


def test_tee_and_timeout(folder: Path) -> None:
    """`timeout` sends SIGTERM: a clean drain, and all that was written is whole."""
    done = shell(
        folder,
        """{ until [ -s copy ]; do sleep 0.05; done; kill $(cat pid); } &
        yes '{"a":1}' | (sh -c 'echo $PPID' > pid; exec timeout 60 streamproc -e none) |
        tee copy | tail -1
        echo ${PIPESTATUS[1]}""",
    )
    last, code = done.stdout.splitlines()
    assert last == b'{"a":1}'
    assert code in (b"124", b"143")
    assert set((folder / "copy").read_bytes().splitlines()) == {b'{"a":1}'}


def test_stdin_kinds(run: Any, folder: Path) -> None:
    """A pipe, a file, a socket and /dev/null are all read to their end."""
    (folder / "in").write_bytes(b'{"a":1}\n{"a":2}')
    with (folder / "in").open("rb") as file:
        assert run("-e", "none", stdin_file=file).stdout == b'{"a":1}\n{"a":2}\n'
    with open(os.devnull, "rb") as file:
        assert run("-e", "none", stdin_file=file).stdout == b""
    assert run("-e", "none", stdin=b'{"a":1}\n').stdout == b'{"a":1}\n'
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'{"a":1}\n')
        ours.shutdown(socket.SHUT_WR)
        assert run("-e", "none", stdin_file=theirs).stdout == b'{"a":1}\n'


def test_stdout_kinds(run: Any, folder: Path) -> None:
    """A file, appended to or not, a socket and /dev/null are all written."""
    for mode in ("wb", "ab"):
        with (folder / "out").open(mode) as file:
            run("-e", "none", stdin=b'{"a":1}\n', capture_output=False, stdout=file)
    assert (folder / "out").read_bytes() == b'{"a":1}\n' * 2
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run("-e", "none", stdin=b'{"a":1}\n', capture_output=False, stdout=theirs)
        assert ours.recv(100) == b'{"a":1}\n'
    with open(os.devnull, "wb") as file:
        done = run("-e", "none", stdin=b"{}\n", capture_output=False, stdout=file)
    assert done.returncode == 0


def test_blocking_mode_is_left_alone(start: Any) -> None:
    """Stdin and stdout keep the blocking mode they came with: the shell shares them."""
    process = start("-e", "none")
    before = [fcntl.fcntl(f, fcntl.F_GETFL) for f in (process.stdin, process.stdout)]
    process.stdin.write(b"{}\n" * 1000)
    process.stdin.flush()
    during = [fcntl.fcntl(f, fcntl.F_GETFL) for f in (process.stdin, process.stdout)]
    process.communicate(timeout=PATIENCE_S)
    assert before == during


def test_terminal_on_stdin_gets_usage(run: Any) -> None:
    """Nothing to read and a terminal on stdin: usage, never a silent hang."""
    ours, theirs = os.openpty()
    with open(ours, "rb"), open(theirs, "rb") as terminal:
        done = run("-e", "none", stdin_file=terminal)
    assert done.returncode == 2
    assert b"Usage: streamproc" in done.stderr


def test_closed_descriptors(folder: Path) -> None:
    """A closed stdout is 74, a closed stdin 66, each with a message."""
    done = shell(folder, "echo '{}' | streamproc -e none >&-")
    assert (done.returncode, done.stderr) == (
        74,
        b"streamproc: stdout: closed: redirect it, or use -o FILE\n",
    )
    for command in ("streamproc -e none", "streamproc replay -"):
        done = shell(folder, f"{command} <&-")
        assert done.returncode == 66
        assert b"stdin is closed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["-e", "none"], b'{"a":1}\n{"a":2}\n'),
        (["-e", "none", "-o", "/dev/full"], b'{"a":1}\n{"a":2}\n'),
        (["-e", "none", "--on-error", "dead-letter", "--dead-letter", "/dev/full"], b"bad\nbad\n"),
    ],
)
def test_full_disk(run: Any, arguments: list[str], stdin: bytes) -> None:
    """A full disk is 74 with a message, and every record is accounted for."""
    with open("/dev/full", "wb") as full:
        done = run(
            *arguments, "--summary", "json", stdin=stdin, capture_output=False, stdout=full,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 74
    assert b"No space left on device" in done.stderr
    assert summary(done.stderr)["unprocessed"] == 2


def test_full_disk_with_dead_letters(run: Any, folder: Path) -> None:
    """What stdout did not take goes to the dead-letter file, and replay gives it back."""
    with open("/dev/full", "wb") as full:
        done = run(
            "-e", "none", "--dead-letter", "dead", stdin=b'{"a": 1}\n{"a":2}\n',
            capture_output=False, stdout=full,
        )  # fmt: skip
    assert done.returncode == 74
    assert {letter["_error"]["kind"] for letter in records((folder / "dead").read_bytes())} == {
        "sink"
    }
    assert run("replay", "dead").stdout == b'{"a": 1}\n{"a":2}\n'


def test_files_in_order(run: Any, folder: Path) -> None:
    """Files come in order; a BOM, CRLF and a missing last newline are accepted in each."""
    (folder / "a").write_bytes(b'\xef\xbb\xbf{"n":1}\r\n\r\n{"n":2}')
    (folder / "b").write_bytes(b'\xef\xbb\xbf{"n":3}\nbad')
    done = run("-e", "none", "a", "-", "b", stdin=b'{"n":"in"}', encoding=None)
    assert [r.get("n") for r in records(done.stdout)] == [1, 2, "in", 3, None]
    error = records(done.stdout)[-1]["_error"]
    assert (error["file"], error["line"], error["raw"]) == ("b", 2, "bad")


def test_missing_input_writes_nothing(run: Any, folder: Path) -> None:
    """All inputs are opened before the first record, and before the output is truncated."""
    (folder / "a").write_bytes(b"{}\n")
    (folder / "out").write_bytes(b"precious")
    for bad in ("missing", "."):
        done = run("-e", "none", "a", bad, "-o", "out")
        assert done.returncode == 66
        assert done.stderr.count(b"\n") == 1
    assert (folder / "out").read_bytes() == b"precious"


@pytest.mark.parametrize("arguments", [["-o", "a"], ["--dead-letter", "a"], ["-o", "./b"]])
def test_output_that_is_an_input(run: Any, folder: Path, arguments: list[str]) -> None:
    """An output that is an input would eat itself: 2, and the file stays as it is."""
    (folder / "a").write_bytes(b"{}\n")
    os.link(folder / "a", folder / "b")
    done = run("-e", "none", "a", *arguments)
    assert done.returncode == 2
    assert (folder / "a").read_bytes() == b"{}\n"


def test_bytes_that_trickle(start: Any) -> None:
    """A producer that sends one byte at a time, and a line is out before the next comes in."""
    process = start("-e", "stages.py:plain")
    for n in range(3):
        for byte in b'{"n":%d}\n' % n:
            process.stdin.write(bytes([byte]))
            process.stdin.flush()
        assert process.stdout.readline() == b'{"n":%d,"ok":true}\n' % n
    process.stdin.write(b'{"n":"last"}')
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert out == b'{"n":"last","ok":true}\n'


def test_producer_that_is_killed(folder: Path) -> None:
    """A torn last line is a malformed record; all lines before it are processed."""
    (folder / "producer.py").write_text(
        'import os\nos.write(1, b\'{"a":1}\\n{"a":\')\nos.kill(os.getpid(), 9)\n'
    )
    done = shell(folder, f"{sys.executable} producer.py | streamproc -e none")
    good, torn = records(done.stdout)
    assert good == {"a": 1}
    assert torn["_error"]["raw"] == '{"a":'


def test_long_line(run: Any) -> None:
    """A line of 10 MB goes through as it came."""
    line = b'{"a":"%s"}\n' % (b"x" * 10_000_000)
    done = run("-e", "stages.py:plain", stdin=line)
    assert done.stdout == line[:-2] + b',"ok":true}\n'


def test_endless_line_in_bounded_memory(folder: Path) -> None:
    """A line without end is a failed record, and memory stays where it is."""
    measure = "import resource as r, subprocess as s, sys; s.run(sys.argv[1:])"
    measure += "; print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
    (folder / "measure.py").write_text(measure)
    done = shell(
        folder,
        "(head -c 300000000 /dev/zero | tr '\\0' a; echo; echo '{}') | "
        f"{sys.executable} measure.py streamproc -e none --max-line-bytes 1MiB",
    )
    error, good = records(done.stdout)
    assert good == {}
    assert error["_error"]["length_bytes"] == 300_000_000
    assert int(done.stderr.splitlines()[-1]) < 80_000  # KiB


def test_reader_that_stalls(start: Any, folder: Path) -> None:
    """When nobody reads, no more records are begun than the window and the pipe hold."""
    process = start("-e", "stages.py:seen", "-j", "4", stdout=subprocess.PIPE)
    line = b'{"pad":"%s"}\n' % (b"x" * 1000)
    count = 20_000
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys\nfor _ in range({count}): sys.stdout.buffer.write({line!r})",
        ],
        stdout=process.stdin,
    )
    process.stdin.close()
    process.stdin = None
    first = process.stdout.read(10)  # it runs; from now on nobody reads
    previous = -1
    while (size := (folder / "seen").stat().st_size) != previous:
        previous = size
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        subprocess.run(["sleep", "0.3"], check=True)
    assert size <= 1024 + 4 + 64 + PIPE_BYTES // len(line)  # the window, and what the pipe holds
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (first + out).count(b"\n") == count
    assert writer.wait(PATIENCE_S) == 0


def test_user_output_stays_out_of_the_data(run: Any) -> None:
    """What user code and its subprocesses print goes to stderr, and they read nothing of ours."""
    done = run("-e", "stages.py:noisy", stdin=b'{"a":1}\n{"a":2}\n')
    assert done.stdout == b'{"a":1,"stdin":""}\n{"a":2,"stdin":""}\n'
    assert done.stderr.count(b"noise") == 4


def test_a_slow_neighbour_delays_nobody_before_it(start: Any) -> None:
    """A finished record whose predecessors are finished is written while a later one runs."""
    process = start("-e", "stages.py:slow")
    process.stdin.write(b'{"n":1}\n{"n":2}\n{"n":3,"s":1000}\n{"n":4}\n')
    process.stdin.flush()
    assert process.stdout.readline() == b'{"n":1,"ok":true}\n'
    assert process.stdout.readline() == b'{"n":2,"ok":true}\n'


def test_unordered_does_not_wait(start: Any) -> None:
    """Unordered, a finished record is written although one before it still runs."""
    process = start("-e", "stages.py:slow", "--unordered")
    process.stdin.write(b'{"n":1,"s":1000}\n{"n":2}\n')
    process.stdin.flush()
    assert process.stdout.readline() == b'{"n":2,"ok":true}\n'
