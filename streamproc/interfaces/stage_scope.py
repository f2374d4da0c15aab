"""What a kind of stage is opened with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from streamproc.attendance import Watch
from streamproc.call_metrics import RecordTimes
from streamproc.interfaces.calls import Enricher
from streamproc.interfaces.site import Layer
from streamproc.interfaces.stage_observer import StageObserver
from streamproc.paths import Path
from streamproc.types import Function

if TYPE_CHECKING:
    from streamproc.interfaces.recipes import Policy, StageKind


class SourceOf(NamedTuple):
    """One of several that a stage asks: where its result goes, and for which records it is asked.

    `when` decides from the record's fields, None for all of them. `times` as those of a stage.
    """

    name: str
    into: tuple[str, ...] | None
    when: Any
    enricher: Enricher
    times: RecordTimes | None = None


class StageScope(Protocol):
    """A stage that is being made, as its kind sees it. All methods may raise `ConfigError`.

    `target`: what Python code gave to be called. `has_others`: others are asked where this one
    has no answer, or it is one of those itself. `keep_going`: refusals do not end the run.
    """

    name: str
    target: Any
    policies: Mapping[str, Policy]
    has_others: bool
    keep_going: bool

    @property
    def connections(self) -> int:
        """Calls at once, at most."""

    @property
    def observer(self) -> StageObserver:
        """Who is told of its calls."""

    def watch(self, fields: Sequence[Path], texts: frozenset[str] = frozenset()) -> Watch:
        """What watches for these fields of records, if nothing does yet."""

    def watch_answers(self, fields: Sequence[Path], texts: frozenset[str]) -> Watch:
        """The same for those of answers."""

    def client(
        self, kind: Literal["auto", "lean", "aiohttp"], options: Any, target: Any
    ) -> Any:  # a `Client` of `http.contract`
        """The HTTP client of that kind; `target` is None where records name it."""

    def function(
        self,
        called: Function,
        options: Mapping[str, object] | None = None,
        kind: StageKind | None = None,
        spec: str | None = None,
    ) -> Enricher:
        """Calls `called`, with policies around it if there are any; `kind` is what made it, or
        `spec` names it (`file.py:name`).
        """

    def layered(
        self, asks: Any, checks: Sequence[Layer] = ()
    ) -> Enricher:  # an `Asks` of the enrichers
        """`asks` with policies around it; `checks` stand inside the cache."""

    def source(self, settings: Any) -> SourceOf:  # a StageSettings: config stands above
        """One of the stages within."""
