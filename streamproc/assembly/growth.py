"""How many workers there might be that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from streamproc.assembly.traits import is_users
from streamproc.assembly.windows import bounds_of
from streamproc.config.settings import Settings, all_sources
from streamproc.config.shares import share_of
from streamproc.engines.cores import usable_cores
from streamproc.engines.free_memory import free_memory_bytes
from streamproc.engines.growing import GrowingEngine
from streamproc.engines.local import LocalEngine
from streamproc.errors import ConfigError
from streamproc.interfaces import Engine
from streamproc.pipeline.credits import CreditLimit

_MOST = 8
_WORKER_BYTES = 128 << 20  # with the libraries of `leads`, and lines
_MEMORY_SHARE = 0.5  # of what is free


def growing(
    settings: Settings,
    local: LocalEngine,
    hire: Callable[[int], Engine],
    window: CreditLimit,
    least_records: int,
) -> Engine:
    """An engine that begins as `local`; that one where there is no room for more."""
    fitting = free_memory_bytes() * _MEMORY_SHARE // _WORKER_BYTES
    most = int(min(_MOST, settings.concurrency, usable_cores(), fitting))
    if most < 2:
        return local
    bounds = bounds_of(settings, most, least_records)
    return GrowingEngine(local, partial(hire, most), lambda: window.resize(*bounds))


def cores_unused(settings: Settings) -> int:
    """How many cores `-w auto` would use, for code of users of which nobody said that; else 1."""
    cores = usable_cores()
    if settings.workers is not None or not any(map(is_users, all_sources(settings.stage))):
        return 1
    try:
        share_of(settings, 0, cores)
    except ConfigError:  # a limit cannot be shared
        return 1
    return cores
