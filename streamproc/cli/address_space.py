"""How much memory records may take where the process is limited (`ulimit -v`)."""

from __future__ import annotations

from streamproc.assembly import Pipeline
from streamproc.cli.leave import say
from streamproc.engines.address_space import room_bytes
from streamproc.units import ByteSize

_LEAST_BYTES = 1 << 20


def limit_memory(pipeline: Pipeline) -> None:
    """Its records take no more memory than there is room for; a note says so."""
    room, before = room_bytes(), pipeline.settings.max_memory
    if before <= room:
        return
    fits = max(int(room), _LEAST_BYTES)
    say(
        "streamproc: memory is limited (ulimit -v): records take "
        f"{fits >> 20} MiB at most instead of {before >> 20}"
    )
    pipeline.limit_memory(ByteSize(fits))
