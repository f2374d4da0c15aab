"""What each of N worker processes gets of the limits that are set for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from msgspec.structs import replace

from streamproc.config.settings import Settings, StageSettings
from streamproc.errors import ConfigError
from streamproc.policies.concurrency import Concurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.units import Rate


def worker_count(settings: Settings) -> int:
    """`workers`, "auto" being the CPUs that this process may use."""
    if settings.workers == "auto":
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    return settings.workers


def share_of(settings: Settings, place: int, count: int) -> Settings:
    """What worker `place` of `count` is started with. Raises `ConfigError`."""
    problems = list(_problems(settings, count))
    if problems:
        raise ConfigError(*problems)
    stages = tuple(_share_of_stage(stage, place, count) for stage in settings.stage)
    concurrency = _part(settings.concurrency, place, count)
    return replace(settings, stage=stages, concurrency=concurrency, workers=1)


def shares(settings: Settings, count: int) -> list[str]:
    """How the limits are shared out, for `check` and for people."""
    if count == 1:
        return []
    first = share_of(settings, 0, count)
    out = [f"{count} workers, each with concurrency {first.concurrency} of {settings.concurrency}"]
    for whole, part in zip(_all(settings.stage), _all(first.stage), strict=True):
        if isinstance(whole.rate, RateLimit) and isinstance(part.rate, RateLimit):
            out.append(f"stage {whole.name}: each worker has a rate of {part.rate.limit:g}/s")
        if part.concurrency is not None:
            out.append(f"stage {whole.name}: each worker has concurrency {_most(part)}")
        if whole.breaker or (whole.http is not None and whole.breaker is not False):
            out.append(f"stage {whole.name}: each worker has a circuit breaker of its own")
    return out


def _all(stages: Iterable[StageSettings]) -> list[StageSettings]:
    return [each for stage in stages for each in (stage, *(stage.all or ()))]


def _most(stage: StageSettings) -> int:
    limit = stage.concurrency
    return limit.max if isinstance(limit, Concurrency) else limit or 0


def _problems(settings: Settings, count: int) -> Iterable[str]:
    if settings.concurrency < count:
        yield f"concurrency: {settings.concurrency} cannot be shared by {count} workers"
    for stage in _all(settings.stage):
        if stage.concurrency is not None and _most(stage) < count:
            yield (
                f"stage {stage.name}: concurrency {_most(stage)} cannot be shared by {count} "
                "workers; use fewer of them"
            )
        rate = stage.rate
        if isinstance(rate, RateLimit) and rate.strict and rate.limit * rate.limit.period_s < count:
            yield f"stage {stage.name}: a strict rate of {rate.limit.written} cannot be shared"


def _share_of_stage(stage: StageSettings, place: int, count: int) -> StageSettings:
    changed: dict[str, object] = {}
    if isinstance(stage.concurrency, Concurrency):
        whole = stage.concurrency
        most = _part(whole.max, place, count)
        least = min(most, max(1, whole.min // count))
        start = max(1, whole.start // count)
        changed["concurrency"] = Concurrency(max=most, min=least, start=start)
    elif stage.concurrency is not None:
        changed["concurrency"] = _part(stage.concurrency, place, count)
    if isinstance(stage.rate, RateLimit):
        changed["rate"] = _share_of_rate(stage.rate, place, count)
    if stage.all is not None:
        changed["all"] = tuple(_share_of_stage(each, place, count) for each in stage.all)
    return replace(stage, **changed) if changed else stage


def _share_of_rate(rate: RateLimit, place: int, count: int) -> RateLimit:
    limit = rate.limit
    if rate.strict:  # whole calls in each window
        calls = _part(int(limit * limit.period_s + 1e-6), place, count)
        return replace(rate, limit=Rate(calls / limit.period_s, limit.period_s))
    burst = None if rate.burst is None else max(1, rate.burst // count)
    return replace(rate, limit=Rate(limit / count, limit.period_s), burst=burst)


def _part(whole: int, place: int, count: int) -> int:
    return whole // count + (place < whole % count)
