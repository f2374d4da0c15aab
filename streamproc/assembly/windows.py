"""How much may be under way at once: records, and bytes of them."""

from __future__ import annotations

from collections.abc import Callable

from streamproc.config.settings import Settings
from streamproc.config.shares import worker_count
from streamproc.memory import COPIES
from streamproc.pipeline.credits import CreditLimit

WORKER_RECORDS = 8192  # so that no worker waits for the slowest one


def window_records(concurrency: int) -> int:
    """Lines admitted to stages and not yet written, at most."""
    return max(16 * concurrency, 1024)


def bounds_of(settings: Settings, workers: int, least_records: int) -> tuple[int, int]:
    """Records and bytes in the window of a run; with workers half of the memory is theirs."""
    ahead = 0 if workers == 1 else workers * WORKER_RECORDS
    records = max(window_records(settings.concurrency), least_records, ahead)
    max_memory = settings.max_memory if workers == 1 else settings.max_memory // 2
    return records, max_memory // COPIES


def window_of(settings: Settings, least_records: int, on_room: Callable[[], None]) -> CreditLimit:
    """The window that a run begins with."""
    return CreditLimit(*bounds_of(settings, worker_count(settings), least_records), on_room)
