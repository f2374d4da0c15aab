"""How much memory records may take where the process is limited (`ulimit -v`)."""

from __future__ import annotations

from msgspec import structs

from streamproc.cli.leave import say
from streamproc.config.settings import Settings
from streamproc.engines.free_memory import room_bytes
from streamproc.units import ByteSize

_LEAST_BYTES = 1 << 20


def within_memory(settings: Settings) -> Settings:
    """`settings` with as much memory for records as there is room for; a note says so."""
    room = room_bytes()
    if settings.max_memory <= room:
        return settings
    fits = max(int(room), _LEAST_BYTES)
    before = settings.max_memory >> 20
    say(
        "streamproc: memory is limited (ulimit -v): records take "
        f"{fits >> 20} MiB at most instead of {before}"
    )
    return structs.replace(settings, max_memory=ByteSize(fits))
