"""What is named by a path, or is stdout."""

from __future__ import annotations

from streamproc.interfaces import SinkRecipe, SinkScope
from streamproc.sinks.file import FileSink
from streamproc.sinks.stdout import StdoutSink


class File(SinkRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, emptied unless a run goes on. Dead letters are appended, readable by their owner."""

    path: str

    def opened(self, scope: SinkScope) -> FileSink:
        """See `SinkRecipe`."""
        known = _known(scope)
        if scope.takes_dead_letters:
            return FileSink(self.path, append=True, permissions=0o600, known=known)
        return FileSink(self.path, append=scope.goes_on, repeats=scope.goes_on, known=known)


class Stdout(SinkRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A descriptor that is open."""

    fd: int = 1

    def opened(self, scope: SinkScope) -> StdoutSink:
        """See `SinkRecipe`."""
        return StdoutSink(self.fd, known=_known(scope))


def _known(scope: SinkScope) -> tuple[int, int] | None:
    return (0, 0) if scope.is_resumable else None
