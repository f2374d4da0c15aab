"""What the settings of a stage say about it."""

from __future__ import annotations

from streamproc.config.recipes import kinds_of, policies_of
from streamproc.config.settings import StageSettings
from streamproc.paths import Path


def is_users(settings: StageSettings) -> bool:
    """Whether code runs in it that is not ours."""
    return any(kind.is_users for kind in kinds_of(settings))


def keeps_answers(settings: StageSettings) -> bool:
    """Whether they are kept beyond the run."""
    return any(policy.keeps_answers for policy in policies_of(settings).values())


def into(settings: StageSettings) -> Path | None:
    """The path of its result, None for the top level."""
    if settings.into == ".":
        return None
    return tuple((settings.into or settings.name or "").split("."))
