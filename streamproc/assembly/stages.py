"""A stage's settings → its enricher, with the policies that it has around it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from msgspec import UNSET, structs

from streamproc.assembly.doubles import Doubles
from streamproc.assembly.requests import requests_of, retry_of
from streamproc.assembly.traits import (
    has_policies,
    into,
    is_users,
    keeps_answers,
    kind_of,
    reshapes,
    source_of,
)
from streamproc.assembly.watching import is_watched
from streamproc.attendance import Attendance, Watch
from streamproc.call_metrics import CallMetrics
from streamproc.config.registry import builtin, kind
from streamproc.config.settings import FallbackSettings, Settings, StageSettings, policies_of
from streamproc.counters import StageMetrics
from streamproc.enrichers.conditions import condition, counted, fields_in, texts_in
from streamproc.errors import ConfigError
from streamproc.interfaces import NOBODY, Answerer, Audience, Layer, Stage, StageObserver
from streamproc.waits import Allowance, Wait, summed

log = logging.getLogger("streamproc")


class StageBuilder:
    """Builds the stages of one pipeline.

    `calls` are the counts of each stage's calls by name, `records` those of its records, `notes`
    what `check` says of the choices that were made, `targets` whom the http stages connect to,
    and how, `metrics` what a monitor shows of calls.
    """

    def __init__(
        self, pipeline: Settings, audience: Audience = NOBODY, doubles: Doubles | None = None
    ) -> None:
        self._pipeline = pipeline
        self._audience = audience
        self._doubles = doubles
        self._made: set[str] = set()  # members that stages add
        self.calls: dict[str, StageMetrics] = {}
        self.records: dict[str, Attendance] = {}
        self.notes: list[str] = []
        self.targets: dict[str, Any] = {}
        self._admissions: list[Any] = []
        self.metrics = CallMetrics() if is_watched(pipeline) else None

    def waits(self) -> list[Wait]:
        """What calls wait for now."""
        return [wait for admission in self._admissions for wait in admission.waits]

    def allowances(self) -> list[Allowance]:
        """What targets let through now, where a monitor shows it."""
        if self.metrics is None:
            return []
        return summed(each for admission in self._admissions for each in admission.allowances)

    def build(self, settings: StageSettings, target: Any = None) -> Stage | None:
        """The stage, None for one that does nothing. Raises `ConfigError`.

        `target` is what a python stage calls, where it is known already.
        """
        if settings.builtin == "none":
            return None
        name = settings.name or ""
        when = self._when(settings)
        timeout_s = self._timeout_s(settings)
        sources: frozenset[str] = frozenset()
        limits_s: tuple[float, ...] = ()
        replaces = False
        enricher: Any
        if settings.builtin is not None:
            options = {} if settings.country is None else {"country": settings.country}
            enricher = builtin(settings.builtin)(**options)
        elif text := reshapes(settings):
            self._watch(name, fields_in(text[1]), texts_in(text[1]))
            enricher = kind(text[0])(text[1], self.records[name].used)
            replaces = True
        elif settings.all is not None:
            enricher = self._sources(name, settings.all)
            sources = frozenset(each.name or "" for each in settings.all)
            limits_s = tuple(limit for each in settings.all for limit in self._limits_s(each))
        elif settings.http is not None:
            enricher = self._layered(settings, name)
        else:
            function = self._function(settings, name, target)
            replaces = function.replaces
            is_layered = function.batch is not None or has_policies(settings)
            if replaces and has_policies(settings):
                raise ConfigError("a transform has no policies: leave them out")
            enricher = self._layered(settings, name, function) if is_layered else function
        self._made.update(
            path[0] for each in (settings, *(settings.all or ())) if (path := into(each))
        )
        return Stage(
            name=name,
            enricher=enricher,
            observer=self._observer(name),
            into=into(settings),
            when=when,
            timeout_s=timeout_s,
            replaces=replaces,
            sources=sources,
            keeps_answers=any(keeps_answers(each) for each in (settings, *(settings.all or ()))),
            limits_s=(*self._limits_s(settings), *limits_s),
            is_users=any(is_users(each) for each in (settings, *(settings.all or ()))),
        )

    def _observer(self, name: str) -> StageObserver:
        return StageObserver(name, self._counts(name), self._audience)

    def _counts(self, name: str, *, has_policies: bool = False) -> StageMetrics:
        return self.calls.setdefault(name, StageMetrics(has_policies))

    def _when(self, settings: StageSettings) -> Any:
        """Its condition, which counts; and the beginning of its counts."""
        records = self.records[settings.name or ""] = Attendance()
        is_wanted = condition("when", settings.when)
        if is_wanted is None or settings.when is None:
            return None
        fields, texts = fields_in(settings.when), texts_in(settings.when)
        records.asked_for = Watch(fields, frozenset(self._made), texts).begin()
        return counted(is_wanted, records)

    def _watch(
        self,
        name: str,
        fields: Sequence[tuple[str, ...]],
        texts: frozenset[str] = frozenset(),
    ) -> None:
        self.records[name].used = Watch(fields, frozenset(self._made), texts).begin()

    def _function(self, settings: StageSettings, name: str, target: Any = None) -> Any:
        from streamproc.enrichers.function import FunctionEnricher, load

        recipe, options = kind_of(settings), {}
        threads = self._pipeline.concurrency
        if settings.python is not None:
            called = target or load(settings.python)
            if settings.options:
                from streamproc.config.options import typed_options

                options = typed_options(called, settings.options)
        elif recipe is not None:
            called = recipe.opened(name)
        else:
            raise ConfigError  # what it does is not known: told where its table is read
        if self._doubles is not None:
            threads = 0
            if (double := self._doubles.function(name, called)) is not None:
                called, options = double, {}
        return FunctionEnricher(called, threads, options, recipe)

    def _timeout_s(self, settings: StageSettings) -> float:
        return self._pipeline.timeout if settings.timeout is None else settings.timeout

    def _limits_s(self, settings: StageSettings) -> tuple[float, ...]:
        by_policies = (policy.limits_s for policy in policies_of(settings).values())
        return (self._timeout_s(settings), *chain.from_iterable(by_policies))

    def _sources(self, name: str, sources: Sequence[StageSettings]) -> Any:
        from streamproc.enrichers.sources import SourceOf, SourcesEnricher

        out = []
        for each in sources:
            own = each.name or ""
            function = None
            if each.http is None:
                function = self._function(each, own)
                if function.replaces:
                    raise ConfigError(f"{own}: a transform is no source: give it a stage")
            when = self._when(each)
            out.append(SourceOf(own, into(each), when, self._layered(each, own, function)))
        return SourcesEnricher(out, self._observer(name))

    def _layered(
        self, settings: StageSettings, name: str, function: Any = None, *, is_spare: bool = False
    ) -> Any:
        """`is_spare`: it is asked where another one has no answer."""
        from streamproc.enrichers.http_credentials import come_from_records
        from streamproc.enrichers.layered import LayeredEnricher
        from streamproc.interfaces import Site
        from streamproc.policies.circuit_breaker import CircuitBreaker
        from streamproc.policies.credential_check import CredentialCheck
        from streamproc.policies.measured import MeasuredRecords
        from streamproc.policies.stack import as_they_are, layers_of

        policies = policies_of(settings)
        breaker = policies.get("breaker")
        max_wait_s = (breaker if isinstance(breaker, CircuitBreaker) else CircuitBreaker()).max_wait
        counts = self._counts(name, has_policies=True)
        has_answer = any(policy.has_answer for policy in policies.values())
        site = Site(
            name, self._timeout_s(settings), counts, has_answer, max_wait_s, self.records[name],
            self._audience, self.metrics, source_of(settings),
            partial(self._answerer, settings, name),
        )  # fmt: skip
        repeats = any(policy.asks_again for policy in policies.values())
        asks = self._asks(settings, name, function, may_repeat=repeats)
        if (batch := getattr(function, "batch", None)) is not None:
            policies = {"batch": batch} | policies
        checks: list[Layer] = []
        is_last = not (is_spare or has_answer)
        http = settings.http if is_last and name in self.targets else None
        if http is not None and not come_from_records(http):
            checks.append(CredentialCheck(self._pipeline.keep_going))
        layers = layers_of(policies, site, checks)
        self._admissions.append(layers.admission)
        first = as_they_are([] if is_spare else [MeasuredRecords()])
        return LayeredEnricher(asks, site, layers.call, [*first, *layers.record])

    def _asks(self, settings: StageSettings, name: str, function: Any, *, may_repeat: bool) -> Any:
        if settings.http is not None:
            return self._http(settings, name)
        from streamproc.enrichers.function_call import AskedFunction

        return AskedFunction(function, name, may_repeat=may_repeat)

    def _http(self, settings: StageSettings, name: str) -> Any:
        from streamproc.enrichers.http import HttpEnricher
        from streamproc.enrichers.http_bulk import HttpBulkEnricher
        from streamproc.http.choice import open_client
        from streamproc.http.contract import ClientOptions, Tls

        http = settings.http
        assert http is not None
        builder = requests_of(settings, name)
        if not self.records[name].used.fields:  # a fallback may ask for others
            self._watch(name, builder.fields)
        options = ClientOptions(
            connections=self._connections(settings),
            max_body_bytes=http.max_body,
            redirects=http.redirects_followed,
            allow_hosts=builder.url.allow_hosts,
            tls=http.tls or Tls(),
            user_agent=builder.user_agent,
        )
        if self._doubles is not None:
            client, why = self._doubles.client(name), "a double"
        else:
            client, why = open_client(http.client, options, builder.url.target)
        self.notes.append(f"stage {name}: {why}")
        if builder.url.target is not None:
            self.targets[name] = (builder.url.target, options)
        if options.tls.dangerously_accept_any_certificate:
            log.warning("stage %s: any certificate is accepted, so anybody can answer", name)
        answers = self._answers(name, http.select)
        repeat_when = retry_of(settings).when
        if settings.batch is None:
            with_id = bool(settings.request_id)
            return HttpEnricher(builder, client, answers, repeat_when=repeat_when, with_id=with_id)
        bulk = HttpBulkEnricher(builder, client, answers, repeat_when=repeat_when)
        bulk.key = getattr(settings.batch, "key", None)
        return bulk

    def _answers(self, name: str, select: str | None) -> Watch:
        """What watches for the fields of `select`; those of a fallback are not told."""
        if select is None:
            return Watch()
        answers, records = Watch(fields_in(select), texts=texts_in(select)).begin(), self.records
        if not records[name].answered.fields:
            records[name].answered = answers
        return answers

    def _connections(self, settings: StageSettings) -> int:
        most = getattr(settings.concurrency, "max", None)
        return min(most, self._pipeline.concurrency) if most else self._pipeline.concurrency

    def _answerer(self, of: StageSettings, name: str, entry: FallbackSettings) -> Answerer:
        """Who answers instead. Raises `ConfigError`."""
        if entry.value is not UNSET:
            from streamproc.policies.fallback import Constant

            return Constant(entry.value)
        common = StageSettings(name=name, timeout=of.timeout, request_id=of.request_id)
        settings = structs.replace(common, http=entry.http, python=entry.python)
        function = None
        if entry.python is not None:
            function = self._function(settings, name)
        answerer: Answerer = self._layered(settings, name, function, is_spare=True)
        return answerer
