"""What each of N worker processes gets of the limits that are set for all of them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from streamproc.config.recipes import policies_of
from streamproc.config.settings import Settings, StageSettings, all_sources
from streamproc.errors import ConfigError
from streamproc.interfaces import part_of
from streamproc.units import ByteSize


def worker_count(settings: Settings) -> int:
    """`workers` from the start, "auto" being the CPUs that this process may use."""
    if settings.workers == "auto":
        from streamproc.engines.cores import usable_cores

        return usable_cores()
    return settings.workers or 1


def share_of(settings: Settings, place: int, count: int) -> Settings:
    """What worker `place` of `count` is started with: observers stay with the parent.

    Raises `ConfigError`.
    """
    problems = list(_problems(settings, count))
    if problems:
        raise ConfigError(*problems)
    stages = tuple(_share_of_stage(stage, place, count) for stage in settings.stage)
    concurrency = part_of(settings.concurrency, place, count)
    max_memory = ByteSize(settings.max_memory // (2 * count))  # half of it is the parent's
    return replace(
        settings, stage=stages, concurrency=concurrency, max_memory=max_memory, workers=1,
        observers=None,
    )  # fmt: skip


def shares(settings: Settings, count: int) -> list[str]:
    """How the limits are shared out, for `check` and for people."""
    if count == 1:
        return []
    first = share_of(settings, 0, count)
    out = [f"{count} workers, each with concurrency {first.concurrency} of {settings.concurrency}"]
    for stage in all_sources(first.stage):
        shared = [text for each in policies_of(stage).values() if (text := each.shared())]
        out += [f"stage {stage.name}: each worker has {text}" for text in shared]
    return out


def _problems(settings: Settings, count: int) -> Iterable[str]:
    if settings.concurrency < count:
        yield (
            f"concurrency: {settings.concurrency} cannot be shared by {count} workers; raise it "
            "(-j), or take fewer (-w)"
        )
    for stage in all_sources(settings.stage):
        for policy in policies_of(stage).values():
            if why := policy.unshareable(count):
                yield f"stage {stage.name}: {why}"


def _share_of_stage(stage: StageSettings, place: int, count: int) -> StageSettings:
    policies = policies_of(stage).items()
    parts = {name: policy.part_for(place, count).value for name, policy in policies}
    if stage.all is not None:
        parts["all"] = tuple(_share_of_stage(each, place, count) for each in stage.all)
    return replace(stage, **parts)
