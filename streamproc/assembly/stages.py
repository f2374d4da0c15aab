"""A stage's settings → its enricher, with the policies that it has around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from streamproc.assembly.doubles import Doubles
from streamproc.assembly.stage_scope import OpenedStage
from streamproc.assembly.traits import into, is_users, keeps_answers
from streamproc.assembly.watching import is_watched
from streamproc.attendance import Attendance, Watch
from streamproc.call_metrics import CallMetrics
from streamproc.config.recipes import kind_of, policies_of
from streamproc.config.settings import Settings, StageSettings, all_sources
from streamproc.counters import StageMetrics
from streamproc.enrichers.conditions import condition, counted, fields_in, texts_in
from streamproc.interfaces import NOBODY, Audience, Stage, StageObserver
from streamproc.paths import Path
from streamproc.types import Function, Record
from streamproc.waits import Allowance, Wait, summed


class StageBuilder:
    """Builds the stages of one pipeline, for which `audience` and `doubles` are.

    `calls` are the counts of each stage's calls by name, `records` those of its records, `notes`
    what `check` says of the choices that were made, `targets` whom the http stages connect to,
    and how, `metrics` what a monitor shows of calls, `admissions` what lets calls begin.
    """

    def __init__(
        self, pipeline: Settings, audience: Audience = NOBODY, doubles: Doubles | None = None
    ) -> None:
        self.pipeline = pipeline
        self.audience = audience
        self.doubles = doubles
        self._made: set[str] = set()  # members that stages add
        self.calls: dict[str, StageMetrics] = {}
        self.records: dict[str, Attendance] = {}
        self.notes: list[str] = []
        self.targets: dict[str, Any] = {}
        self.admissions: list[Any] = []
        self.metrics = CallMetrics() if is_watched(pipeline) else None

    def waits(self) -> list[Wait]:
        """What calls wait for now."""
        return [wait for admission in self.admissions for wait in admission.waits]

    def allowances(self) -> list[Allowance]:
        """What targets let through now, where a monitor shows it."""
        if self.metrics is None:
            return []
        return summed(each for admission in self.admissions for each in admission.allowances)

    def build(self, settings: StageSettings, target: Function | None = None) -> Stage | None:
        """The stage, None for one that does nothing. Raises `ConfigError`.

        `target` is what a python stage calls, where it is known already.
        """
        kind = kind_of(settings)
        if kind is not None and kind.does_nothing:
            return None
        name = settings.name or ""
        when = self.when(settings)
        opened = OpenedStage(self, settings, target)
        enricher = opened.enricher()
        parts = list(all_sources([settings]))
        self._made.update(path[0] for each in parts if (path := into(each)))
        return Stage(
            name=name,
            enricher=enricher,
            observer=self.observer(name),
            into=into(settings),
            when=when,
            timeout_s=self.timeout_s(settings),
            replaces=enricher.replaces,
            sources=frozenset(each.name or "" for each in settings.all or ()),
            keeps_answers=any(map(keeps_answers, parts)),
            limits_s=tuple(chain.from_iterable(map(self._limits_s, parts))),
            is_users=any(map(is_users, parts)),
            times=opened.times,
        )

    def observer(self, name: str) -> StageObserver:
        """Who is told of the calls of a stage."""
        return StageObserver(name, self.counts(name), self.audience)

    def counts(self, name: str, *, has_policies: bool = False) -> StageMetrics:
        """Those of its calls."""
        return self.calls.setdefault(name, StageMetrics(has_policies))

    def when(self, settings: StageSettings) -> Callable[[Record], bool] | None:
        """Its condition, which counts; and the beginning of its counts."""
        records = self.records[settings.name or ""] = Attendance()
        is_wanted = condition("when", settings.when)
        if is_wanted is None or settings.when is None:
            return None
        records.asked_for = self.watch(fields_in(settings.when), texts_in(settings.when))
        return counted(is_wanted, records)

    def watch(self, fields: Sequence[Path], texts: frozenset[str]) -> Watch:
        """What watches for them, beginning now."""
        return Watch(fields, frozenset(self._made), texts).begin()

    def timeout_s(self, settings: StageSettings) -> float:
        """Of one attempt."""
        return self.pipeline.timeout if settings.timeout is None else settings.timeout

    def _limits_s(self, settings: StageSettings) -> tuple[float, ...]:
        by_policies = (policy.limits_s for policy in policies_of(settings).values())
        return (self.timeout_s(settings), *chain.from_iterable(by_policies))
