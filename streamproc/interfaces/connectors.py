"""Connectors: where records come from and go to, by the scheme of an address.

`scheme://...?key=value` on the command line and `[source] scheme = { key = ... }` in a pipeline
file are the same table, which is a recipe. Opening it gives a source or a sink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, ClassVar, Protocol, Self

from msgspec import Struct

from streamproc.errors import UsageError
from streamproc.interfaces.recipes import Recipe
from streamproc.interfaces.run_observer import RunObserver
from streamproc.interfaces.stream import ProgressTracker, Sink, Source
from streamproc.record import Batch, Failed, Note
from streamproc.types import Table


class Stream(Protocol):
    """A run, as its source sees it. A lane is what has one order.

    It begins before `receive` is called for the first time. Until then it has no lanes.
    """

    @property
    def keeper(self) -> ProgressTracker | None:
        """Who remembers how far it is."""

    @property
    def observer(self) -> RunObserver:
        """Who is told what becomes of it."""

    def is_open(self, lane: int) -> bool:
        """Whether there is room for more of this lane."""

    def on_room(self, call: Callable[[], None]) -> None:
        """`call` whenever there is more room."""

    def recall(self, lanes: Sequence[int]) -> Mapping[int, int]:
        """Begin with nothing more of these; by lane, how many lines will not be done."""

    def drop(self, lanes: Sequence[int]) -> None:
        """What is not written of these is somebody else's from here on."""

    async def settle(self) -> None:
        """Wait until all that was read is written, and in the checkpoint."""


class SourceScope(Struct, frozen=True):
    """What a source is told of its run.

    `sink`: where its records go. `stream`: the run itself, None where nothing is run.
    `is_resumable`: positions are asked for. `stops_at_end`: what never ends by itself ends with
    what is there now.
    """

    sink: Sink | SinkRecipe
    stream: Stream | None = None
    is_resumable: bool = False
    stops_at_end: bool = False
    connect_timeout_s: float = 10.0
    max_line_bytes: int = 16 << 20


class SinkScope(Struct, frozen=True):
    """What a sink is told of its run.

    `dead_letters`: where failed records go; it is itself opened with `takes_dead_letters`.
    `goes_on`: what earlier runs wrote stays, though nobody rewinds it. `refuse`: what becomes of
    a record that it does not take.
    """

    source: Source
    refuse: Callable[[Failed, Batch, int], Note]
    dead_letters: Sink | None = None
    takes_dead_letters: bool = False
    goes_on: bool = False
    is_resumable: bool = False
    connect_timeout_s: float = 10.0


class EndRecipe(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a source and a sink have in common. `shorthand` is what stands before the `?`.

    `what`: what people call it. `address`: what its addresses look like. `contradictions` looks at
    the whole pipeline file.
    """

    what: ClassVar[str] = "an address"
    address: ClassVar[str] = ""

    def watch(self, end: Any, observer: RunObserver) -> object:  # what is `opened`
        """Let `observer` tell what becomes of whom `end`, which is opened, reads or writes.

        Called in the loop of the run; what it returns is held until the run is over.
        """
        return None


class SourceRecipe(EndRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records come from.

    `least_records`: what the window should hold at least. `is_endless`: it waits for more.
    """

    least_records: ClassVar[int] = 0
    is_endless: ClassVar[bool] = False

    @property
    def remembers(self) -> bool:
        """Whether each run begins where the last one ended, without a checkpoint."""
        return False

    def unnoticed(self) -> Self:
        """The same for who only looks: nobody else gets less, and nothing is remembered of it."""
        return self

    def opened(self, scope: SourceScope) -> Source:
        """What is read. It is entered for the run; to make it touches nothing."""
        raise NotImplementedError

    def keeper(self, source: Any, scope: SourceScope) -> ProgressTracker | None:  # what is `opened`
        """Who remembers how far a run came, where that is no checkpoint. Of what is `opened`."""
        return None

    def lags(self, source: Any) -> Mapping[str, int]:  # what is `opened`
        """Of each partition of what is `opened`: messages that wait to be read, where known."""
        return {}


class SinkRecipe(EndRecipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records go. `takes_messages`: what it opens is a `MessageSink`."""

    takes_messages: ClassVar[bool] = False

    def opened(self, scope: SinkScope) -> Sink:
        """What is written to. It is entered for the run; to make it touches nothing."""
        raise NotImplementedError


class Connector:
    """What a scheme means: something to read from, to write to, or both."""

    source: ClassVar[type[SourceRecipe] | None] = None
    sink: ClassVar[type[SinkRecipe] | None] = None

    @classmethod
    def is_secret(cls, name: str) -> bool:
        """Whether the value of a key, or of a parameter, is never printed."""
        return any(word in name for word in ("password", "secret", "token"))

    @classmethod
    def table_of(cls, address: str, *, is_source: bool) -> Table | None:
        """The table that `address` means, where it is more than `scheme://SHORTHAND?key=value`.

        Raises `UsageError`.
        """
        return None

    @classmethod
    def replay(
        cls,
        source: Any,  # recipes of this connector
        sink: Any,  # as above, or None
        out: IO[bytes],
        complain: Callable[[str], None],
        *,
        keep_sources: bool,
    ) -> int:
        """Give back the records that failed, to `sink` or as lines to `out`; how many."""
        raise UsageError("replay is for files: write what there is into one, and replay that")
