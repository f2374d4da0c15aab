"""The worker processes of a pipeline: what each one is started with, and when one is given up."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from math import inf

from streamproc.assembly.programs import on_error_of, program_of
from streamproc.config.recipes import kind_of
from streamproc.config.settings import Settings
from streamproc.config.shares import share_of
from streamproc.engines.processes import ProcessEngine
from streamproc.engines.worker_pool import Counts, WorkerPool
from streamproc.enrichers.imports import for_workers
from streamproc.errors import ConfigError
from streamproc.interfaces import Audience, Stage
from streamproc.secrets import hidden


def process_engine(
    settings: Settings,
    stages: Sequence[Stage],
    count: int,
    audience: Audience,
    counts: Counts,
) -> ProcessEngine:
    """The engine of `count` workers, which adds to `counts`. Raises `ConfigError`."""
    is_inline = program_of(stages, settings).is_inline
    pool = pool_of(settings, stages, count, audience, is_inline=is_inline)
    return ProcessEngine(pool, on_error_of(settings), counts)


def pool_of(
    settings: Settings,
    stages: Sequence[Stage],
    count: int,
    audience: Audience,
    *,
    is_inline: bool,
) -> WorkerPool:
    """`count` workers for `stages`; `audience` hears of what happens in them.

    Raises `ConfigError` before any process is started.
    """
    share_of(settings, 0, count)  # raises what is wrong with it
    for stage in settings.stage:
        if (kind := kind_of(stage)) is not None and (why := kind.unshareable()):
            raise ConfigError(f"stage {stage.name}: {why}")
    # what is ours and inline has no timeout, and always ends
    may_hang = not is_inline or any(stage.is_users for stage in stages)
    limits_s = [limit for stage in stages for limit in stage.limits_s]
    return WorkerPool(
        count,
        lambda k: pickle.dumps(
            (share_of(settings, k, count), hidden(), for_workers(), audience.wanted)
        ),
        audience,
        is_inline=is_inline,
        hang_s=max(limits_s, default=settings.timeout) if may_hang else inf,
        stage=stages[0].name if len(stages) == 1 else "worker",
        max_restarts=settings.max_restarts,
    )
