"""The account of every record at the end of a run."""

from __future__ import annotations

from msgspec import Struct, structs

from streamproc.codec import encode
from streamproc.record import Tally


class Summary(Struct, frozen=True):
    """`received = ok + failed + dead_lettered + dropped + filtered + skipped + unprocessed`.

    `failed` were annotated on stdout; `malformed` of all failed were no JSON objects;
    `had_error` of `ok` came in with an `_error` and went through untouched. Times in
    seconds, sizes in bytes.
    """

    received: int
    ok: int
    failed: int
    malformed: int
    filtered: int
    dropped: int
    dead_lettered: int
    skipped: int
    unprocessed: int
    had_error: int
    blank: int
    lines_out: int
    bytes_in: int
    bytes_out: int
    seconds: float
    records_per_second: float
    exit_code: int

    @classmethod
    def of(cls, tally: Tally, seconds: float, exit_code: int) -> Summary:
        """The summary of what `tally` counted in `seconds`."""
        counts = {
            name: getattr(tally, name) for name in cls.__struct_fields__ if hasattr(tally, name)
        }
        rate = round(tally.received / seconds, 1) if seconds > 0 else 0.0
        return cls(
            **counts, seconds=round(seconds, 3), records_per_second=rate, exit_code=exit_code
        )

    def json(self) -> str:
        """One line."""
        return encode(structs.asdict(self)).decode()

    def text(self) -> str:
        """For people: what is zero is left out."""
        parts = [f"{self.received:,} records in {self.seconds:.2f} s"]
        parts.append(f"{self.records_per_second:,.0f}/s")
        names = (
            "ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed",
            "malformed", "had_error", "blank",
        )  # fmt: skip
        parts += [
            f"{getattr(self, name):,} {name.replace('_', '-')}"
            for name in names
            if name == "ok" or getattr(self, name)
        ]
        return "streamproc: " + ", ".join(parts)
