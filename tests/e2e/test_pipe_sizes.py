"""Pipes hold more than usual where they may, and are as they are where they may not."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamproc.pipes import PIPE_BYTES
from tests.conftest import PATIENCE_S

pytestmark = pytest.mark.skipif(
    not hasattr(fcntl, "F_GETPIPE_SZ"), reason="pipes have a size on Linux only"
)
NOBODY = 65_534
CROWD = """
import os, sys
from streamproc.pipes import PIPE_BYTES, widen
if os.getuid() == 0:
    os.setuid(%d)
import fcntl
sizes = []
for _ in range(int(sys.argv[1])):
    _, end = os.pipe()
    widen(end)
    sizes.append(fcntl.fcntl(end, fcntl.F_GETPIPE_SZ))
    os.write(end, b"x" * 4096)
assert sizes[0] == PIPE_BYTES and sizes[-1] < PIPE_BYTES, sizes
"""


def size_of(pipe: Any) -> int:
    return int(fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ))


def test_both_ends(start: Any) -> None:
    process = start("-e", "none")
    process.stdin.write(b"{}\n")
    assert process.stdout.readline() == b"{}\n"
    assert (size_of(process.stdin), size_of(process.stdout)) == (PIPE_BYTES, PIPE_BYTES)


def test_a_user_whose_pipes_are_used_up() -> None:
    """It takes what there is, and goes on."""
    share = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text()) * os.sysconf("SC_PAGESIZE")
    command = [sys.executable, "-c", CROWD % NOBODY, str(share // PIPE_BYTES + 2)]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
