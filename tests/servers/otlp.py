"""A receiver of OTLP over HTTP: what it got, in the protocol's own classes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver(ThreadingHTTPServer):
    """Its `requests` are (path, headers, message). `status` is what it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for _, _, message in self.requests
            if isinstance(message, ExportTraceServiceRequest)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def traces(self) -> dict[str, list[Span]]:
        """By the id of the record that each of them is of: its span first, then those below it."""
        found: dict[bytes, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.trace_id + _root(self.spans, span), []).append(span)
        by_record = {}
        for spans in found.values():
            spans.sort(key=lambda span: "streamproc.record.id" not in attributes(span))
            by_record[attributes(spans[0])["streamproc.record.id"]] = spans
        return by_record

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [
            attributes(each.resource)
            for _, _, message in self.requests
            for each in getattr(message, "resource_spans", None) or message.resource_metrics
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        made, answer = {
            "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
            "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
        }[self.path]
        assert self.headers["content-type"] == "application/x-protobuf"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, made.FromString(body)))
        said = answer().SerializeToString()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: Any) -> None:
        pass


def _root(spans: list[Span], span: Span) -> bytes:
    """The id of the span of the record that `span` is below."""
    by_id = {each.span_id: each for each in spans}
    while span.parent_span_id in by_id:
        span = by_id[span.parent_span_id]
    return span.span_id


def attributes(message: Any) -> dict[str, Any]:
    """Of a span, an event, a resource, a data point."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes
    }


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run one."""
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()
