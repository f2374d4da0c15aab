"""`python = "module:function"`: code of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from streamproc.interfaces import Enricher, StageKind, StageScope
from streamproc.types import JsonValue


class Python(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`options` are keyword arguments of the function or class."""

    shorthand: ClassVar[str] = "spec"
    beside: ClassVar[tuple[str, ...]] = ("options",)
    has_prefix: ClassVar[bool] = False

    spec: str
    options: dict[str, Any] | None = None

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if "options" in stage and "python" not in stage:
            yield "options: only a python stage has options: leave them out"

    @classmethod
    def default_name(cls, key: str, value: JsonValue) -> str:
        """See `StageKind`."""
        return str(value).rpartition(":")[2]

    @property
    def source(self) -> str:
        """See `StageKind`."""
        return self.spec

    def files_read(self) -> Iterable[tuple[str, str]]:
        """See `Recipe`: a SPEC of a pipeline file is found in its folder."""
        if ".py:" in self.spec:
            folder = getattr(self.spec, "folder", None) or ""
            yield "code that is called", os.path.join(folder, self.spec.rpartition(":")[0])

    def unshareable(self) -> str | None:
        """See `StageKind`."""
        if self.spec.startswith("__main__:") or "<" in self.spec:
            return "with workers a function has to be importable: put it into a module"
        return None

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        from streamproc.enrichers.function import load

        if scope.target:
            return scope.function(scope.target, self.options)
        return scope.function(load(self.spec), self.options, spec=self.spec)
