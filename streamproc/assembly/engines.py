"""Which engine a run has: that of this process, that of workers, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from streamproc.assembly.traits import is_users
from streamproc.assembly.windows import bounds_of
from streamproc.config.settings import Settings, all_sources
from streamproc.config.shares import share_of, worker_count
from streamproc.engines.cores import usable_cores
from streamproc.engines.local import LocalEngine
from streamproc.errors import ConfigError
from streamproc.interfaces import Engine, Stage
from streamproc.pipeline.credits import CreditLimit

_MOST_UNASKED = 8


def engine_of(
    settings: Settings,
    stages: Sequence[Stage],
    local: LocalEngine,
    hire: Callable[[int], Engine],
    window: CreditLimit,
    least_records: int,
) -> Engine:
    """`hire` makes the engine of so many workers. `window` is for that of the start."""
    count = worker_count(settings)
    if count > 1:
        return hire(count)
    most = min(_MOST_UNASKED, settings.concurrency, usable_cores())
    if most == 1 or not stages or not (local.is_inline and _may_grow(settings, stages)):
        return local
    from streamproc.engines.growing import GrowingEngine

    bounds = bounds_of(settings, most, least_records)
    return GrowingEngine(local, partial(hire, most), lambda: window.resize(*bounds))


def cores_unused(settings: Settings) -> int:
    """How many cores workers would use that nobody thought of, for code of users; else 1."""
    cores = usable_cores()
    if settings.workers is not None or not any(map(is_users, all_sources(settings.stage))):
        return 1
    try:
        share_of(settings, 0, cores)
    except ConfigError:  # a limit cannot be shared
        return 1
    return cores


def _may_grow(settings: Settings, stages: Sequence[Stage]) -> bool:
    """Whether nobody asked for a number of workers, and nobody could tell it by the output.

    Code of users may have globals. What comes after the last failure that is allowed depends
    on who was how far.
    """
    counts_failures = settings.on_error == "stop" or settings.max_errors is not None
    is_ours = not any(stage.is_users for stage in stages)
    return settings.workers is None and is_ours and not counts_failures
