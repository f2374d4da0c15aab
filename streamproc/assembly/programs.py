"""What is done to a record, and what becomes of one that fails, by the settings of a run."""

from __future__ import annotations

from collections.abc import Sequence

from streamproc.codec import OnError
from streamproc.config.settings import Settings
from streamproc.engines.program import Program
from streamproc.interfaces import Stage


def program_of(stages: Sequence[Stage], settings: Settings) -> Program:
    """`stages`, one after the other."""
    return Program(stages, on_error_of(settings), settings.incoming_errors)


def on_error_of(settings: Settings) -> OnError:
    """What failed records turn into."""
    mode = "annotate" if settings.on_error == "stop" else settings.on_error
    return OnError(mode, settings.dead_letter is not None, settings.run_id or "")
