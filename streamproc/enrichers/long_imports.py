"""A word while user code is imported for long: it may be a program, which never comes back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("streamproc")

LONG_S = 10.0


@contextmanager
def told_if_long(spec: str) -> Iterator[None]:
    """A warning if what is done within, the import that `spec` needs, takes over `LONG_S`."""
    timer = threading.Timer(
        LONG_S, log.warning,
        ("%s: still importing it after %.0f s; if it is a program as well, what that does belongs "
         "under if __name__ == '__main__'", spec, LONG_S),
    )  # fmt: skip
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
