"""What is named by a path, or is stdin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from streamproc.interfaces import SourceRecipe, SourceScope
from streamproc.sources.file import LineSource
from streamproc.sources.lines import LineCutter

if TYPE_CHECKING:
    from streamproc.sources.json_values import JsonCutter


class Files(SourceRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lines of `inputs` in order; `-` is `stdin_fd`."""

    inputs: tuple[str, ...]
    stdin_fd: int = 0
    format: Literal["jsonl", "json"] = "jsonl"

    def opened(self, scope: SourceScope) -> LineSource:
        """See `SourceRecipe`."""
        cutter_of: type[LineCutter | JsonCutter] = LineCutter
        if self.format == "json":
            from streamproc.sources.json_values import JsonCutter

            cutter_of = JsonCutter
        return LineSource(
            self.inputs,
            stdin_fd=self.stdin_fd,
            max_line_bytes=scope.max_line_bytes,
            resumable=scope.is_resumable,
            cutter_of=cutter_of,
            before_tail=None if scope.stream is None else scope.stream.settle,
        )
