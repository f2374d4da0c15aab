"""Before anything is opened for writing: nothing is written over what else the run uses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from streamproc.config.recipes import all_recipes
from streamproc.config.settings import Settings
from streamproc.enrichers.python import Python
from streamproc.errors import UsageError

Target = str | int
"""A name or an open descriptor."""


def refuse_same_file(
    settings: Settings, inputs: Sequence[str], output: Target | None, config: str | None
) -> None:
    """Raises `UsageError` if something that is written is also something else."""
    written = list(_written(settings, output))
    known: dict[object, str] = {}
    for what, target in (*_read(settings, inputs, config), *written):
        identity = _identity(target)
        if identity is None:
            continue
        other = known.setdefault(identity, what)
        # one cache may serve several stages, and an input may be read twice
        if other != what and (what, target) in written:
            name = "stdin" if target == 0 else "stdout" if target == 1 else target
            raise UsageError(f"{name} is both {other} and {what}: name another file")


def _read(
    settings: Settings, inputs: Sequence[str], config: str | None
) -> Iterator[tuple[str, Target]]:
    for name in inputs:
        yield "an input", 0 if name == "-" else name
    if config is not None:
        yield "the pipeline file", config
    hooks = (Python(spec=each.python) for each in settings.on if each.python is not None)
    for recipe in (*all_recipes(settings), *hooks):
        yield from recipe.files_read()


def _written(settings: Settings, output: Target | None) -> Iterator[tuple[str, Target]]:
    if output is not None:
        yield "the output", output
    if isinstance(settings.dead_letter, str):
        yield "the dead-letter file", settings.dead_letter
    if settings.report is not None:
        yield "the report", settings.report
    if settings.checkpoint is not None:
        yield "the checkpoint", settings.checkpoint
        yield "the next checkpoint", f"{settings.checkpoint}.new"
    if settings.ack_fd is not None:
        yield "what --ack-fd writes", settings.ack_fd
    for recipe in all_recipes(settings):
        yield from recipe.files_written()


def _identity(target: Target) -> object:
    """What two names of one file or pipe have in common; None where sharing does no harm."""
    try:
        status = os.fstat(target) if isinstance(target, int) else os.stat(target)
    except (OSError, OverflowError):  # a number that no descriptor has
        return None if isinstance(target, int) else os.path.realpath(target)
    is_content = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)
    return (status.st_dev, status.st_ino) if is_content else None
