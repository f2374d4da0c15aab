"""What the settings of a stage say about it."""

from __future__ import annotations

from streamproc.config.registry import KINDS
from streamproc.config.settings import StageSettings, policies_of, recipes
from streamproc.interfaces import StageKind


def has_policies(settings: StageSettings) -> bool:
    """Whether a python stage has more around it than its timeout."""
    return bool(policies_of(settings))


def reshapes(settings: StageSettings) -> tuple[str, str] | None:
    """The kind that is one text, and the text."""
    given = [(name, getattr(settings, name)) for name in KINDS]
    return next(((name, text) for name, text in given if text is not None), None)


def kind_of(settings: StageSettings) -> StageKind | None:
    """Its kind, where that is a recipe."""
    found = (getattr(settings, name) for name in recipes(type(settings)))
    return next((each for each in found if isinstance(each, StageKind)), None)


def is_users(settings: StageSettings) -> bool:
    """Whether code runs in it that is not ours."""
    fallback = settings.fallback or ()
    is_own = settings.python is not None or kind_of(settings) is not None
    return is_own or any(each.python is not None for each in fallback)


def keeps_answers(settings: StageSettings) -> bool:
    """Whether they are kept beyond the run."""
    return any(policy.keeps_answers for policy in policies_of(settings).values())


def into(settings: StageSettings) -> tuple[str, ...] | None:
    """The path of its result, None for the top level."""
    if settings.into == ".":
        return None
    return tuple((settings.into or settings.name or "").split("."))


def source_of(settings: StageSettings) -> str:
    """Whom it asks, for people: as it is written, without what `${VAR}` stands for."""
    if settings.http is not None:
        return settings.http.url.written
    return settings.python or "value"
