"""`--trace`, `[trace]` → the observer that follows records."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamproc.assembly.watching import is_disabled
from streamproc.config.recipes import kind_of, policies_of
from streamproc.config.settings import Settings, all_sources
from streamproc.enrichers.http_stage import Http
from streamproc.errors import ConfigError
from streamproc.interfaces import ExportFailed, Policy
from streamproc.telemetry.export_queue import say
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.trace import TraceKind, of_the_extra
from streamproc.telemetry.trace_settings import TraceSettings
from streamproc.types import JsonObject
from streamproc.version import __version__

if TYPE_CHECKING:
    from streamproc.telemetry.otlp_metrics import MetricPush

_SENT_BY = ("", "otlp")


def trace_of(settings: Settings, tell: Callable[[ExportFailed], object] = say) -> TraceKind | None:
    """None where the variables of OpenTelemetry switch it off. Raises `ConfigError`.

    `tell` is that of `TraceKind`.
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if is_disabled() or exporter == "none":
        return None
    if exporter not in _SENT_BY:
        raise ConfigError(f"OTEL_TRACES_EXPORTER: expected otlp or none, got {exporter!r}")
    trace = settings.trace if isinstance(settings.trace, TraceSettings) else TraceSettings()
    requests: dict[tuple[str, int], dict[str, Any]] = {}
    for stage in all_sources(settings.stage):
        for number, asked in enumerate((stage, *(stage.fallback or ()))):
            kind, name = kind_of(asked), stage.name or ""
            if isinstance(kind, Http):
                with suppress(ConfigError):  # it is told where the stage is made
                    requests[name, number] = _request(kind, policies_of(stage), name)
    askers = {s.name or "": stage.name or "" for stage in settings.stage for s in stage.all or ()}
    return TraceKind(
        run_id=settings.run_id or "",
        trace_field=trace.trace_field,
        system="kafka" if getattr(settings.source, "kafka", None) else None,
        requests=requests,
        askers=askers,
        environment=_variables(),
        tell=tell,
    )


def metric_push(read: Callable[[], Reading], about: Mapping[str, str]) -> MetricPush:
    """What sends them; `about` are the labels of the run. Raises `ConfigError`."""
    with of_the_extra():
        from streamproc.telemetry.metrics import infos_of
        from streamproc.telemetry.otlp_metrics import MetricPush
    return MetricPush(read, infos_of(__version__, about), _variables())


def _variables() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name.startswith("OTEL_")}


def _request(kind: Http, policies: Mapping[str, Policy], name: str) -> JsonObject:
    """What can be said of all its requests without a word of a record, nor its target where a
    record names it.
    """
    builder = kind.requests(name, policies)
    said: dict[str, Any] = {"http.request.method": builder.method}
    if (target := builder.url.target) is None:
        return said
    said |= {"server.address": target.host, "server.port": target.port}
    template = urlsplit(builder.settings.url.written).path
    return said | {"url.scheme": target.scheme, "url.template": template}
