"""A stage that is being made: what its kind is opened with, and the policies around it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import UNSET, structs

from streamproc.assembly.traits import into
from streamproc.attendance import Watch
from streamproc.call_metrics import RecordTimes
from streamproc.config.recipes import kind_of, policies_of, recipes
from streamproc.config.settings import FallbackSettings, StageSettings
from streamproc.errors import ConfigError
from streamproc.interfaces import (
    Answerer,
    Enricher,
    Layer,
    Policy,
    Site,
    SourceOf,
    StageKind,
    StageObserver,
)
from streamproc.paths import Path
from streamproc.types import Function

if TYPE_CHECKING:
    from streamproc.assembly.stages import StageBuilder
    from streamproc.enrichers.layered import Asks
    from streamproc.http.contract import Client, ClientOptions, Target

log = logging.getLogger("streamproc")


class OpenedStage:
    """See `interfaces.StageScope`. `is_source`: it is one of several that a stage asks.
    `fallback`: which one it is of those who answer instead, from 1 on; `has_next`: where it has no
    answer, another one is asked.
    """

    def __init__(
        self,
        builder: StageBuilder,
        settings: StageSettings,
        target: Function | None = None,
        *,
        is_source: bool = False,
        fallback: int = 0,
        has_next: bool = False,
    ) -> None:
        self._builder = builder
        self._settings = settings
        self._is_source = is_source
        self._fallback = fallback
        self.name = settings.name or ""
        self.times: RecordTimes | None = None
        self.target = target
        self.policies: Mapping[str, Policy] = policies_of(settings)
        self._has_answer = has_next or any(policy.has_answer for policy in self.policies.values())
        self.has_others = bool(fallback) or self._has_answer
        self.keep_going = builder.pipeline.keep_going

    @property
    def connections(self) -> int:
        """See `StageScope`: those of a limit that adapts itself may be fewer."""
        most = getattr(self._settings.concurrency, "max", None)
        concurrency = self._builder.pipeline.concurrency
        return min(most, concurrency) if most else concurrency

    @property
    def observer(self) -> StageObserver:
        """See `StageScope`."""
        return self._builder.observer(self.name)

    def enricher(self) -> Enricher:
        """What it does. Raises `ConfigError`."""
        kind = kind_of(self._settings)
        if kind is None:
            raise ConfigError  # what it does is not known: told where its table is read
        return kind.enricher(self)

    def watch(self, fields: Sequence[Path], texts: frozenset[str] = frozenset()) -> Watch:
        """See `StageScope`: who answers instead may ask for others."""
        records = self._builder.records[self.name]
        if not records.used.fields:
            records.used = self._builder.watch(fields, texts)
        return records.used

    def watch_answers(self, fields: Sequence[Path], texts: frozenset[str]) -> Watch:
        """See `StageScope`."""
        records, answers = self._builder.records[self.name], Watch(fields, texts=texts).begin()
        if not records.answered.fields:
            records.answered = answers
        return answers

    def client(
        self,
        kind: Literal["auto", "lean", "aiohttp"],
        options: ClientOptions,
        target: Target | None,
    ) -> Client:
        """See `StageScope`."""
        from streamproc.http.choice import open_client

        builder = self._builder
        if builder.doubles is not None:
            client, why = builder.doubles.client(self.name), "a double"
        else:
            client, why = open_client(kind, options, target)
        builder.notes.append(f"stage {self.name}: {why}")
        if target is not None:
            builder.targets[self.name] = (target, options)
        if options.tls.dangerously_accept_any_certificate:
            log.warning("stage %s: any certificate is accepted, so anybody can answer", self.name)
        return client

    def function(
        self,
        called: Function,
        options: Mapping[str, object] | None = None,
        kind: StageKind | None = None,
        spec: str | None = None,
    ) -> Enricher:
        """See `StageScope`."""
        from streamproc.enrichers.function import FunctionEnricher
        from streamproc.enrichers.function_call import AskedFunction

        if not callable(called):
            opened = type(called).__name__
            raise ConfigError(f"its kind has to open what can be called, not {opened}")
        threads, doubles = self._builder.pipeline.concurrency, self._builder.doubles
        if options:
            from streamproc.config.options import typed_options

            options = typed_options(called, options)
        if doubles is not None:
            threads = 0
            if (double := doubles.function(self.name, called)) is not None:
                called, options = double, {}
        function = FunctionEnricher(called, threads, options, kind)
        if function.replaces and self._is_source:
            raise ConfigError(f"{self.name}: a transform is no source: give it a stage")
        if function.replaces and self.policies:
            raise ConfigError("a transform has no policies: leave them out")
        is_part = self._is_source or self._fallback
        if function.batch is None and not self.policies and not is_part:
            return function
        if function.batch is not None:
            self.policies = {"batch": function.batch, **self.policies}
        repeats = any(policy.asks_again for policy in self.policies.values())
        return self.layered(AskedFunction(function, self.name, spec, may_repeat=repeats))

    def layered(self, asks: Asks, checks: Sequence[Layer] = ()) -> Enricher:
        """See `StageScope`."""
        from streamproc.enrichers.layered import LayeredEnricher
        from streamproc.policies.stack import layers_of

        site = self._site()
        layers = layers_of(self.policies, site, checks)
        self._builder.admissions.append(layers.admission)
        if site.metrics is not None and not self._fallback:
            self.times = RecordTimes(site.metrics, self.name)
        return LayeredEnricher(asks, site, layers.call, layers.record)

    def source(self, settings: StageSettings) -> SourceOf:
        """See `StageScope`."""
        when = self._builder.when(settings)
        opened = OpenedStage(self._builder, settings, is_source=True)
        enricher = opened.enricher()
        return SourceOf(settings.name or "", into(settings), when, enricher, opened.times)

    def _site(self) -> Site:
        from streamproc.policies.circuit_breaker import CircuitBreaker

        builder, kind = self._builder, kind_of(self._settings)
        breaker = self.policies.get("breaker")
        max_wait_s = (breaker if isinstance(breaker, CircuitBreaker) else CircuitBreaker()).max_wait
        return Site(
            self.name,
            builder.timeout_s(self._settings),
            builder.counts(self.name, has_policies=True),
            has_fallback=self._has_answer,
            max_wait_s=max_wait_s,
            records=builder.records[self.name],
            audience=builder.audience,
            metrics=builder.metrics,
            source="" if kind is None else kind.source,
            fallback=self._fallback,
            answerer=self._answerer,
        )

    def _answerer(self, entry: FallbackSettings, number: int) -> Answerer:
        if entry.value is not UNSET:
            from streamproc.policies.fallback import Constant

            return Constant(entry.value)
        of = self._settings
        common = StageSettings(name=of.name, timeout=of.timeout, request_id=of.request_id)
        if entry.http is not None:  # messages of its circuit name the stage's settings
            common = structs.replace(common, breaker=of.breaker)
        asked = {name: getattr(entry, name) for name in recipes(FallbackSettings)}
        settings = structs.replace(common, **asked)
        has_next = number < len(of.fallback or ())
        spare = OpenedStage(self._builder, settings, fallback=number, has_next=has_next)
        return spare.enricher()  # type: ignore[return-value]  # that has layers
