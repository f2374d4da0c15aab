"""What `pip install streamproc[otel]` brings: spans over OTLP/HTTP, as the SDK's own exporter does.

Its variables are its own business, but for those that say whether and how it is used at all.
Spans are made here of what was collected, in the thread that sends them.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode
from requests import RequestException, Response, Session, Timeout

from streamproc.errors import ConfigError
from streamproc.interfaces import ExportFailed
from streamproc.secrets import hide, redact
from streamproc.telemetry.export_queue import ExportQueue
from streamproc.telemetry.span import SpanData, TraceData
from streamproc.version import __version__

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
SCOPE = InstrumentationScope("streamproc", __version__, SCHEMA_URL)

_NAME, _UNNAMED = "service.name", "unknown_service"
_PROTOCOL = "http/protobuf"
_NO_URL = "OTEL_EXPORTER_OTLP_ENDPOINT is no URL of HTTP"
_LONG_SECRET = 12  # of a header: not a common word
_SHOWN = 300  # characters of what a library says
_EXPORTERS = "opentelemetry.exporter.otlp.proto.http"
_PROVIDERS = (  # of sessions, which know how to authenticate
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}_CREDENTIAL_PROVIDER",
)
_FAILED, _GOOD = Status(StatusCode.ERROR), Status(StatusCode.UNSET)
T = TypeVar("T")


def span_queue(
    environment: Mapping[str, str], tell: Callable[[ExportFailed], object]
) -> ExportQueue[TraceData]:
    """What sends spans. Raises `ConfigError`."""
    enough = number_in(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    return ExportQueue(
        "traces",
        SpanSender(*made_for("TRACES", environment, OTLPSpanExporter)),
        lambda trace: len(trace.spans),
        most=number_in(environment, "OTEL_BSP_MAX_QUEUE_SIZE", 2048),
        enough=enough,
        delay_s=number_in(environment, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
        tell=tell,
    )


class Line(Session):
    """What requests are sent over. `trouble`: what is wrong with the last one, and at which server;
    nothing if it was answered well.
    """

    trouble = ""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Response:  # type: ignore[override]  # as it is given
        """See `Session`. Raises `RequestException`."""
        server = urlsplit(url).netloc.rpartition("@")[2]
        self.trouble = f"{server}: there is no answer"
        try:
            answer = super().request(method, url, *args, **options)
        except RequestException as error:
            is_no_url = isinstance(error, ValueError)  # its words have the URL, maybe a password
            self.trouble = _NO_URL if is_no_url else f"{server}: {_plainly(error)}"
            raise
        self.trouble = "" if answer.ok else f"{server}: {answer.status_code} {answer.reason}"
        return answer


def made_for(signal: str, environment: Mapping[str, str], make: Callable[..., T]) -> tuple[T, Line]:
    """An exporter of the SDK, of `signal`, and what it sends over. Raises `ConfigError` for
    variables that it refuses.
    """
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(name):
            if protocol != _PROTOCOL:
                raise ConfigError(f"{name}: {_PROTOCOL} is all that is spoken, got {protocol!r}")
            break
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        for header in environment.get(name, "").split(","):  # the SDK shows one that it refuses
            value = re.split("[=:]", header, maxsplit=1)[-1].strip()
            if len(value) >= _LONG_SECRET:
                hide(value)
    line = Line()
    has_own = any(environment.get(each.format(signal)) for each in _PROVIDERS)
    try:
        return make(session=None if has_own else line), line
    except Exception as error:  # what a variable says is no good, or a certificate is not there
        raise ConfigError(f"OTEL_EXPORTER_OTLP_*: {error}") from error


def resource() -> Resource:
    """What sends: as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` call it, if they do."""
    found = Resource.create()
    if str(found.attributes.get(_NAME, _UNNAMED)).startswith(_UNNAMED):
        found = found.merge(Resource({_NAME: "streamproc", "service.version": __version__}))
    return _OneResource(found.attributes, found.schema_url)


class _OneResource(Resource):
    """The same one in each span, and looked up for each: the SDK writes JSON to hash it."""

    def __hash__(self) -> int:
        return id(self)


def number_in(environment: Mapping[str, str], name: str, default: int) -> int:
    """A number from 1 on. Raises `ConfigError`."""
    text = environment.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigError(f"{name}: expected a number from 1 on, got {text!r}")
    return int(text)


class SpanSender:
    """See `Exporter`."""

    def __init__(self, exporter: OTLPSpanExporter, line: Line) -> None:
        self._exporter = exporter
        self._line = line
        self._resource = resource()

    def send(self, items: list[TraceData], on_trouble: Callable[[], None]) -> str | None:
        """See `Exporter`."""
        with hearing(on_trouble) as said:
            spans = [span for trace in items for span in self._spans(trace)]
            result = self._exporter.export(spans)
        return None if result is SpanExportResult.SUCCESS else why(self._line, said)

    @property
    def trouble(self) -> str:
        """See `Exporter`."""
        return self._line.trouble

    def shutdown(self) -> None:
        """See `Exporter`."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # has no annotations

    def _spans(self, trace: TraceData) -> Iterator[ReadableSpan]:
        state = TraceState.from_header([trace.state]) if trace.state else None
        first, flags = trace.spans[0], TraceFlags(TraceFlags.SAMPLED)

        def context(span_id: int, *, is_remote: bool = False) -> SpanContext:
            return SpanContext(trace.trace_id, span_id, is_remote, flags, state)

        for span in trace.spans:
            parent = context(span.parent_id, is_remote=span is first) if span.parent_id else None
            yield self._span(span, context(span.span_id), parent)

    def _span(
        self, span: SpanData, context: SpanContext, parent: SpanContext | None
    ) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context,
            parent,
            self._resource,
            span.attributes,
            [Event(each.name, each.attributes, each.time_ns) for each in span.events],
            kind=SpanKind[span.kind],
            status=_FAILED if span.is_failed else _GOOD,
            start_time=span.begun_ns,
            end_time=span.ended_ns,
            instrumentation_scope=SCOPE,
        )


@contextmanager
def hearing(on_trouble: Callable[[], None]) -> Iterator[list[str]]:
    """What the exporters say in this thread, and not in the log: there it is said once."""
    said: list[str] = []
    here = threading.get_ident()

    def hear(record: logging.LogRecord) -> bool:
        if record.thread != here:
            return True
        said.append(record.getMessage())
        on_trouble()
        return False

    loggers = [logging.getLogger(f"{_EXPORTERS}.{each}_exporter") for each in ("trace", "metric")]
    for logger in loggers:
        logger.addFilter(hear)
    try:
        yield said
    finally:
        for logger in loggers:
            logger.removeFilter(hear)


def _plainly(error: RequestException) -> str:
    """What the system said, which a library says in five of its classes."""
    if isinstance(error, Timeout):
        return "no answer in time"
    cause: BaseException = error
    while not (isinstance(cause, OSError) and cause.strerror) and (
        within := cause.__cause__ or cause.__context__
    ):
        cause = within
    return str(getattr(cause, "strerror", None) or cause)


def why(line: Line, said: list[str]) -> str:
    """What is wrong at the server, or else the first thing that was said: what comes later is that
    it was tried again.
    """
    return redact((line.trouble or next(iter(said), "the exporter does not say why"))[:_SHOWN])
