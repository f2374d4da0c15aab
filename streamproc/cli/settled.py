"""What suits a process that has loaded all it needs, and whose records come and go."""

from __future__ import annotations

import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def settle() -> None:
    """What is loaded by now stays: no cycles are looked for in it, and seldom in the rest."""
    gc.freeze()
    gc.set_threshold(5_000, 50, 100)


def keep_freed_memory() -> None:
    """Chunks and lines that were freed are not given back to the system, only to be had anew
    for the next ones: a page fault for each 4 KiB. It keeps 4 MiB at most; see mallopt(3).
    """
    try:
        import ctypes  # it takes as long as many a small input

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):  # another C library, or Python without this
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    mallopt(_M_TRIM_THRESHOLD, 4 << 20)
