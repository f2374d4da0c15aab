"""`[observers.failures]`: one JSON line per failed call."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

from msgspec.structs import asdict

from streamproc.interfaces import CallFailed, Observer, ObserverKind


class Failures(ObserverKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Appends to `file` what failed, retried or not; only `kinds` of it, if there are any."""

    shorthand: ClassVar[str] = "file"

    file: str
    kinds: tuple[str, ...] = ()

    def files_written(self) -> Iterable[tuple[str, str]]:
        """See `Recipe`."""
        yield "what observers.failures writes", self.file

    def opened(self) -> Observer:
        """See `ObserverKind`."""
        return FailureLog(self)


class FailureLog(Observer):
    """Hears of failed calls, and of nothing else."""

    def __init__(self, recipe: Failures) -> None:
        self._recipe = recipe

    def __enter__(self) -> Self:
        self._lines = Path(self._recipe.file).open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def call_failed(self, event: CallFailed) -> None:
        """See `CallFailed`."""
        if not self._recipe.kinds or event.kind in self._recipe.kinds:
            self._lines.write(json.dumps(asdict(event)) + "\n")
