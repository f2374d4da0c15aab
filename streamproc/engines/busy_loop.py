"""Who kept the event loop busy: one warning for stages and one for long records, with a way out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streamproc.engines.long_records import LongRecords
from streamproc.interfaces import Stage

log = logging.getLogger("streamproc")

NOTICED_S = 0.1
_THREADS = "mark it @streamproc.enricher(blocking=True)"


class BusyLoop:
    """Hears how late the loop was, and knows by the measured calls of plain code whose fault it is.

    Coroutines are measured with their waits: they are named where no plain code was busy.
    """

    def __init__(self, stages: Sequence[Stage], long_records: LongRecords) -> None:
        users = [stage for stage in stages if stage.is_users]
        self._plain = [stage for stage in users if stage.enricher.mode == "inline"]
        self._others = [stage for stage in users if stage.enricher.mode != "inline"]
        self._total_s = [0.0] * len(self._plain)
        self._is_told = not users
        self._long_records = long_records
        self._is_told_of_record = False

    def late(self, busy_s: float) -> None:
        """The loop was busy for so long."""
        decoding_s, longest_bytes = self._long_records.since_last()
        before_s = self._total_s
        self._total_s = [stage.observer.counts.total_s for stage in self._plain]
        if busy_s <= NOTICED_S:
            return
        if decoding_s > busy_s / 2:
            self._tell_of_record(longest_bytes, busy_s)
            return
        if self._is_told:
            return
        took_s = [
            now_s - then_s if now_s >= then_s else now_s  # a worker reported, and began again
            for now_s, then_s in zip(self._total_s, before_s, strict=True)
        ]
        all_s = sum(took_s)
        if self._others and all_s < busy_s / 2:
            way_out = f"await what takes long, or let it be a plain def and {_THREADS}"
            self._tell(self._others, busy_s, way_out)
        else:
            busy = [s for s, each_s in zip(self._plain, took_s, strict=True) if each_s > all_s / 4]
            self._tell(busy or self._plain, busy_s, f"{_THREADS}, or make it `async def`")

    def _tell(self, stages: Sequence[Stage], busy_s: float, way_out: str) -> None:
        self._is_told = True
        names = ", ".join(stage.name for stage in stages)
        stages[0].observer.was_slow(names, busy_s)
        log.warning(
            "stage %s kept the event loop busy for %.0f ms; blocking code cannot be timed "
            "out or run side by side: %s", names, busy_s * 1000, way_out,
        )  # fmt: skip

    def _tell_of_record(self, size: int, busy_s: float) -> None:
        if not self._is_told_of_record:
            self._is_told_of_record = True
            log.warning(
                "a record of %.1f MiB kept the event loop busy for %.0f ms, mostly to be decoded; "
                "others had to wait: workers (-w 2) go on beside it, --max-line-bytes refuses it",
                size / (1 << 20), busy_s * 1000,
            )  # fmt: skip
