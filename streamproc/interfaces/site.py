"""Where a policy stands: the stage around whose calls it is put."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from msgspec import Struct, field

from streamproc.attendance import Attendance
from streamproc.call_metrics import CallMetrics
from streamproc.counters import StageMetrics
from streamproc.interfaces.calls import Inner
from streamproc.interfaces.observers import NOBODY, Audience
from streamproc.interfaces.stage_observer import StageObserver
from streamproc.interfaces.stream import Opens


class Answerer(Opens, Protocol):
    """Who is asked where a stage has no answer. `source`: a URL, a function, for people."""

    @property
    def source(self) -> str: ...

    @property
    def call(self) -> Inner:
        """Takes the record's fields, as soon as it is entered."""


def _nobody(entry: object, number: int) -> Answerer:
    raise LookupError(f"there is nobody else to ask: {entry!r}")


class Site(Struct, frozen=True):
    """What the layers of one stage know of it.

    `source`: whom it asks, for people. `fallback`: which one it is of those who answer instead of
    another stage, from 1 on. `answerer` makes who answers instead of an entry of a chain, and of
    its number, not entered yet; it raises `ConfigError`.
    """

    name: str
    timeout_s: float
    counts: StageMetrics
    has_fallback: bool = False
    max_wait_s: float = 300.0
    records: Attendance = field(default_factory=Attendance)
    audience: Audience = NOBODY
    metrics: CallMetrics | None = None
    source: str = ""
    fallback: int = 0
    answerer: Callable[[Any, int], Answerer] = _nobody

    @property
    def observer(self) -> StageObserver:
        """Who is told of its calls."""
        return StageObserver(self.name, self.counts, self.audience, self.metrics, self.fallback)

    def place(self, target: Hashable) -> str:
        """Stage and target, for messages; a function's target is its stage."""
        return self.name if target == self.name else f"{self.name}: {target}"


class Layer(Protocol):
    """A policy: a frozen value object, which is also its table in the pipeline file."""

    def wrap(self, inner: Inner, site: Site) -> Inner:
        """`inner` with this policy around it."""
