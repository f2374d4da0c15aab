"""Which engine a run has: that of this process, that of workers, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamproc.config.settings import Settings
from streamproc.config.shares import worker_count
from streamproc.engines.local import LocalEngine
from streamproc.interfaces import Engine, Stage
from streamproc.pipeline.credits import CreditLimit


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
    if not (stages and local.is_inline and _may_grow(settings, stages)):
        return local
    from streamproc.assembly.growth import growing

    return growing(settings, local, hire, window, least_records)


def _may_grow(settings: Settings, stages: Sequence[Stage]) -> bool:
    """Whether nobody asked for a number of workers, and nobody could tell it by the output.

    Code of users may have globals. What comes after the last failure that is allowed depends
    on who was how far.
    """
    counts_failures = settings.on_error == "stop" or settings.max_errors is not None
    is_ours = not any(stage.is_users for stage in stages)
    return settings.workers is None and is_ours and not counts_failures
