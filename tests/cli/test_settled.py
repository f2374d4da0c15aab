"""What the command asks of its process once all is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAP = """
import ctypes
from streamproc.cli.settled import keep_freed_memory

libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
for is_kept in (False, True):
    if is_kept:
        keep_freed_memory()
    blocks = [bytes(50_000) for _ in range(40)]
    end = libc.sbrk(0)
    del blocks
    print(end - libc.sbrk(0))
"""


@pytest.mark.skipif("linux" not in sys.platform, reason="of glibc")
def test_what_was_freed_stays_for_the_next_chunks() -> None:
    """2 MB that end and come again: the heap of glibc shrinks and grows each time by default."""
    run = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)
    given_back, kept = map(int, run.stdout.split())
    assert given_back > 0
    assert kept == 0
