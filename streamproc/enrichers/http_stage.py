"""`http = { url = ... }`: a service that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from streamproc.enrichers.http_settings import HttpSettings
from streamproc.errors import ConfigError
from streamproc.interfaces import Enricher, Policy, StageKind, StageScope

if TYPE_CHECKING:
    from streamproc.enrichers.http_request import RequestBuilder


_READING = (("retry", "when"), ("batch", "key"))  # how answers are read, said by policies


class Http(StageKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `request_id` the service is told which record it is asked for."""

    shorthand: ClassVar[str] = "settings"
    expressions: ClassVar[tuple[str, ...]] = ("select",)
    beside: ClassVar[tuple[str, ...]] = ("request_id",)
    manner: ClassVar[frozenset[str]] = frozenset(("client", "tls", "max_body", "request_id"))
    has_prefix: ClassVar[bool] = False
    connects: ClassVar[bool] = True

    settings: HttpSettings
    request_id: bool = False

    @classmethod
    def contradictions(cls, stage: Mapping[str, object]) -> Iterable[str]:
        """See `Recipe`."""
        if stage.get("request_id"):
            if not isinstance(http := stage.get("http"), dict):
                yield "request_id: only an http stage sends it"
            elif "x-request-id" in {str(name).lower() for name in http.get("headers") or ()}:
                yield "request_id: there is a header X-Request-Id already: leave one out"
            elif "batch" in stage:
                yield "request_id: a batch is one request for many records: leave one out"

    @property
    def source(self) -> str:
        """See `StageKind`: without what `${VAR}` stands for."""
        return self.settings.url.written

    @property
    def is_users(self) -> bool:
        """See `StageKind`."""
        return False

    def requests(self, name: str, policies: Mapping[str, Policy]) -> RequestBuilder:
        """What makes the requests of the stage `name`. Raises `ConfigError`."""
        from streamproc.enrichers.http_request import RequestBuilder

        builder = RequestBuilder(
            self.settings,
            name,
            is_bulk="batch" in policies,
            repeats=getattr(policies.get("retry"), "idempotent", False),
            shares=getattr(policies.get("cache"), "share", "credential"),
            reading=[getattr(policies.get(each), key, None) for each, key in _READING],
        )
        if builder.problems:
            raise ConfigError(*[f"http.{problem}" for problem in builder.problems])
        return builder

    def enricher(self, scope: StageScope) -> Enricher:
        """See `StageKind`."""
        from streamproc.enrichers.conditions import fields_in, texts_in
        from streamproc.enrichers.http import HttpEnricher
        from streamproc.enrichers.http_bulk import HttpBulkEnricher
        from streamproc.enrichers.http_credentials import come_from_records
        from streamproc.http.contract import ClientOptions, Tls
        from streamproc.policies.credential_check import CredentialCheck

        http, policies = self.settings, scope.policies
        builder = self.requests(scope.name, policies)
        scope.watch(builder.fields)
        options = ClientOptions(
            connections=scope.connections,
            max_body_bytes=http.max_body,
            redirects=http.redirects_followed,
            allow_hosts=builder.url.allow_hosts,
            tls=http.tls or Tls(),
            user_agent=builder.user_agent,
        )
        client = scope.client(http.client, options, builder.url.target)
        fields, texts = (fields_in(http.select), texts_in(http.select)) if http.select else ((), ())
        asks: HttpEnricher
        given = builder, client, scope.watch_answers(fields, frozenset(texts))
        repeat_when = getattr(policies.get("retry"), "when", None)
        if (batch := policies.get("batch")) is not None:
            key = getattr(batch, "key", None)
            asks = HttpBulkEnricher(*given, repeat_when=repeat_when, key=key)
        else:
            asks = HttpEnricher(*given, repeat_when=repeat_when, with_id=self.request_id)
        is_checked = builder.url.target is not None and not come_from_records(http)
        checks = [CredentialCheck(scope.keep_going)] if is_checked and not scope.has_others else []
        return scope.layered(asks, checks)
