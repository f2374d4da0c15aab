"""What is named by a path, or is stdin."""

from __future__ import annotations

from typing import Literal

from streamproc.interfaces import SourceRecipe, SourceScope
from streamproc.sources.file import LineSource
from streamproc.sources.json_values import JsonCutter
from streamproc.sources.lines import LineCutter


class Files(SourceRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lines of `inputs` in order; `-` is `stdin_fd`."""

    inputs: tuple[str, ...]
    stdin_fd: int = 0
    format: Literal["jsonl", "json"] = "jsonl"

    def opened(self, scope: SourceScope) -> LineSource:
        """See `SourceRecipe`."""
        return LineSource(
            self.inputs,
            stdin_fd=self.stdin_fd,
            max_line_bytes=scope.max_line_bytes,
            resumable=scope.is_resumable,
            cutter_of=JsonCutter if self.format == "json" else LineCutter,
            before_tail=None if scope.stream is None else scope.stream.settle,
        )
