"""What is wrong with stages, to be told beside what is wrong with other settings."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.assembly.stages import StageBuilder
from streamproc.config.settings import Settings, StageSettings
from streamproc.errors import ConfigError


def problems_of(settings: StageSettings) -> Sequence[str]:
    """What is wrong with one stage that its settings alone do not tell: code, expressions."""
    try:
        StageBuilder(Settings()).build(settings)
    except ConfigError as error:
        return error.problems
    return ()
