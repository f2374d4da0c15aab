"""How many files may be open, and how many calls at once that leaves room for."""

from __future__ import annotations

import resource

from msgspec import structs

from streamproc.cli.leave import say
from streamproc.config.recipes import kinds_of
from streamproc.config.settings import Settings, StageSettings, all_sources
from streamproc.config.shares import worker_count
from streamproc.policies.concurrency import Concurrency

_RESERVED = 32  # input, output, checkpoint, cache, event loop, names being looked up, user code
_WORKER_FILES = 4  # that the parent has for each of them


def within_limit(settings: Settings) -> Settings:
    """`settings` with as many calls at once as there may be connections.

    The limit that can be raised without asking anybody is raised first; a note says what
    had to be lowered nevertheless.
    """
    most = _raised()
    stages = all_sources(settings.stage)
    clients = sum(kind.connects for stage in stages for kind in kinds_of(stage))
    if not clients:
        return settings
    workers = worker_count(settings)
    if workers > 1:
        most -= max(0, _WORKER_FILES * (workers - 1) - _RESERVED // 2)
    fits = max(1, (most - _RESERVED) // clients) * workers
    if settings.concurrency <= fits:
        return settings
    say(
        f"streamproc: {most} files may be open (ulimit -n): {fits} records at once instead of "
        f"{settings.concurrency}"
    )
    return structs.replace(
        settings,
        concurrency=fits,
        stage=tuple(_fitted(stage, fits) for stage in settings.stage),
    )


def _fitted(stage: StageSettings, fits: int) -> StageSettings:
    limit = Concurrency.of(stage.concurrency)
    fitted = None if limit is None else limit.at_most(fits).value
    sources = None if stage.all is None else tuple(_fitted(each, fits) for each in stage.all)
    return structs.replace(stage, concurrency=fitted, all=sources)


def _raised() -> int:
    """The limit of open files, after raising it as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # macOS calls it infinite, and means another number
            pass
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
