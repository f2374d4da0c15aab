"""Which records are traced, whose child each is, and what its spans say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streamproc.assembly.tracing import trace_of
from streamproc.assembly.watching import pushes_metrics
from streamproc.attendance import Watch
from streamproc.config.load import resolve
from streamproc.engines.framing import pack_work, unpack_work
from streamproc.enrichers.http import HttpEnricher
from streamproc.enrichers.http_request import RequestBuilder
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.errors import ConfigError
from streamproc.http.contract import Response
from streamproc.http.template import Template
from streamproc.interfaces import FOLLOWED, CallEnded, CallStarted, CallWaited
from streamproc.record import BLANK_NOTE, Batch, Cursor
from streamproc.telemetry.sampler import Sampler
from streamproc.telemetry.span import SpanData, TraceData
from streamproc.telemetry.trace import TraceKind, Tracer
from streamproc.telemetry.trace_context import TraceContext
from streamproc.telemetry.traced_record import TracedRecord

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = f"00-{TRACE:032x}-{SPAN:016x}-01"
ALL = {"OTEL_TRACES_SAMPLER": "always_on"}


class Queue:
    """Room for so many traces."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.traces: list[TraceData] = []

    def has_room(self) -> bool:
        return len(self.traces) < self.room

    def put(self, trace: TraceData) -> None:
        self.traces.append(trace)


def traced(batch: Batch, queue: Queue, sampler: Sampler, **kind: Any) -> list[int]:
    """Do all lines of `batch`; returns the numbers of those that are followed."""
    return traced_by(Tracer(TraceKind(**kind), sampler, queue), batch)  # type: ignore[arg-type] - what it uses


def traced_by(tracer: Tracer, batch: Batch) -> list[int]:
    found = []
    chosen = tracer.choose(batch)
    for i in range(len(batch)):
        if i in chosen and (follower := tracer.follow(batch, i)) is not None:
            follower.begin()
            follower.end(None)
            found.append(i)
    return found


def batch_of(*lines: bytes) -> Batch:
    return Batch(0, Cursor("leads/3", 7, 7), list(lines), 0)


@pytest.mark.parametrize(
    ("text", "span_id", "is_sampled"),
    [
        (PARENT, SPAN, True),
        (PARENT[:-1] + "0", SPAN, False),
        (PARENT[:-2] + "03", SPAN, True),
        ("cc" + PARENT[2:] + "-what-comes-later", SPAN, True),
    ],
)
def test_what_a_parent_is(text: str, span_id: int, is_sampled: bool) -> None:
    assert TraceContext.parse(text) == TraceContext(TRACE, span_id, is_sampled)


@pytest.mark.parametrize(
    "text",
    [None, 7, "", "00", PARENT + "-more", "ff" + PARENT[2:], PARENT.upper(), PARENT[:-3],
     f"00-{0:032x}-{SPAN:016x}-01", f"00-{TRACE:032x}-{0:016x}-01", f"{PARENT}\r\nx: y"],
)  # fmt: skip
def test_what_is_none(text: object) -> None:
    assert TraceContext.parse(text) is None


@pytest.mark.parametrize(
    ("variables", "ratio", "asks_parent"),
    [
        ({}, 0.01, True),
        (ALL, 1.0, False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0.0, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, 0.25, False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, 1.0, True),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, 0.01, True),
    ],
)
def test_the_sampler_is_what_the_variables_say(
    variables: dict[str, str], ratio: float, asks_parent: bool
) -> None:
    assert Sampler.of(variables) == Sampler(ratio, asks_parent)


def test_such_a_share_is_traced_and_by_the_ids_of_the_traces() -> None:
    """So a service that takes the same share of ids takes the same traces."""
    queue = Queue()
    found = traced(batch_of(*[b"{}"] * 20_000), queue, Sampler(0.25, asks_parent=False))
    assert 4_500 < len(found) < 5_500
    ids = [each.trace_id for each in queue.traces]
    assert len(set(ids)) == len(ids)
    assert max(each & ((1 << 64) - 1) for each in ids) < 1 << 62


@pytest.mark.parametrize("trace_field", [None, "parent"])
@pytest.mark.parametrize("length", [1, 7, 1000])
def test_the_share_is_that_of_all_records_however_they_come(
    length: int, trace_field: str | None
) -> None:
    """Also where a record might have a parent, and has none."""
    queue = Queue()
    kind = TraceKind(trace_field=trace_field)
    tracer = Tracer(kind, Sampler(0.02), queue)  # type: ignore[arg-type] - what it uses
    batches = 50_000 // length
    found = [traced_by(tracer, batch_of(*[b"{}"] * length)) for _ in range(batches)]
    assert 800 < len(queue.traces) < 1_200
    if length == 1000:  # nor is it that of those at the beginning
        firsts = [i for each in found for i in each if i < 500]
        assert 370 < len(firsts) < 630


@pytest.mark.parametrize("ratio", [0.0, 5e-324, 1e-12])
def test_hardly_any_is_none_of_so_few(ratio: float) -> None:
    assert traced(batch_of(*[b"{}"] * 1000), Queue(), Sampler(ratio)) == []


class Message:
    """As Kafka's client has them: the length is that of the value, which may be empty."""

    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self._headers = list(headers) or None

    def __len__(self) -> int:
        return 0

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._headers


def in_worker(batch: Batch) -> Batch:
    """As it comes to a worker of a run in which somebody follows records."""
    return unpack_work(memoryview(b"".join(pack_work(1, batch, 0, 3, with_headers=True))))


@pytest.mark.parametrize("where", [lambda batch: batch, in_worker])
def test_a_message_has_a_parent_and_the_span_says_where_it_was(
    where: Callable[[Batch], Batch],
) -> None:
    batch = batch_of(b"{}", b"{}", b"{}")
    parent = ("traceparent", PARENT.encode())
    batch.messages = [
        Message(parent, ("tracestate", b"a=b"), ("other", None)),
        Message(("traceparent", PARENT.encode()[:-1] + b"0")),
        Message(),
    ]
    queue = Queue()
    assert traced(where(batch), queue, Sampler(0.0), run_id="r", system="kafka") == [0]
    (trace,) = queue.traces
    assert (trace.trace_id, trace.spans[0].parent_id, trace.state) == (TRACE, SPAN, "a=b")
    assert (trace.spans[0].name, trace.spans[0].kind) == ("process leads", "CONSUMER")
    said = trace.spans[0].attributes
    assert said["streamproc.record.id"] == "r:leads/3:7"
    assert said["messaging.destination.partition.id"] == "3"
    assert said["messaging.kafka.offset"] == 7


def test_blank_lines_are_no_records() -> None:
    queue = Queue()
    assert traced(batch_of(b"", b"{}"), queue, Sampler(1.0)) == [1]
    record = TracedRecord(TraceContext(1, 0, True), SpanData("record", 0), {}, {}, queue.put)
    record.end(BLANK_NOTE)
    assert len(queue.traces) == 1


def test_nothing_is_made_for_records_that_find_no_room() -> None:
    queue = Queue(room=2)
    assert traced(batch_of(*[b"{}"] * 5), queue, Sampler(1.0)) == [0, 1]


def test_waits_are_events_of_the_stage_which_began_before_them() -> None:
    queue = Queue()
    record = TracedRecord(
        TraceContext(TRACE, 0, True, "a=b"), SpanData("record", 0), {}, {}, queue.put
    )
    record.begin()
    record.tell(CallWaited("s", "t", "rate_limited", 0.5))
    record.tell(CallStarted("s", "t", 1))
    headers = record.headers
    record.tell(CallEnded("s", "t", 1, "ok", 0.25))
    record.end(None)
    record.tell(CallStarted("s", "t", 2))  # of a call that goes on: it belongs to no trace
    _, stage, attempt = queue.traces[0].spans
    assert [(each.name, each.attributes) for each in stage.events] == [
        ("rate_limited", {"seconds": 0.5})
    ]
    assert attempt.begun_ns - stage.begun_ns >= 500_000_000
    context = f"00-{TRACE:032x}-{attempt.span_id:016x}-01"
    assert headers.decode() == f"traceparent: {context}\r\ntracestate: a=b\r\n"


def test_whom_a_fallback_asks_is_asked_for_the_first_time() -> None:
    queue = Queue()
    requests = {("s", n): {"http.request.method": "GET"} for n in range(2)}
    record = TracedRecord(TraceContext(1, 0, True), SpanData("record", 0), requests, {}, queue.put)
    for attempt, fallback in enumerate((0, 0, 1, 1), 1):
        record.tell(CallStarted("s", "t", attempt, fallback))
        record.tell(CallEnded("s", "t", attempt, "http_status", 0.0, 500))
    record.end(None)
    (trace,) = queue.traces
    resent = [each.attributes.get("http.request.resend_count") for each in trace.spans[2:]]
    assert resent == [None, 1, None, 1]


def test_a_record_that_is_refused_for_hours_has_a_bounded_trace() -> None:
    queue = Queue()
    record = TracedRecord(TraceContext(1, 0, True), SpanData("record", 0), {}, {}, queue.put)
    for attempt in range(1, 1000):
        record.tell(CallWaited("s", "t", "retry_after", 0.0))
        record.tell(CallStarted("s", "t", attempt))
        record.tell(CallEnded("s", "t", attempt, "throttled", 0.0, 429))
    record.end(None)
    (trace,) = queue.traces
    assert len(trace.spans) == len(trace.spans[1].events) == 128


def sent(settings: HttpSettings, attempts: int) -> list[bytes]:
    """The header lines of each attempt of a call whose record is followed."""
    seen: list[bytes] = []

    class Client:
        async def send(self, request: Any) -> Response:
            seen.append(request.headers)
            return Response(200, [], b"{}")

    async def main() -> None:
        record = TracedRecord(
            TraceContext(TRACE, 0, True), SpanData("record", 0), {}, {}, Queue().put
        )
        FOLLOWED.set(record)
        builder = RequestBuilder(settings, "s")
        client: Any = Client()
        enricher = HttpEnricher(builder, client, Watch())
        call = builder.build({})
        assert call is not None
        for attempt in range(attempts):
            record.tell(CallStarted("s", "t", attempt + 1))
            await enricher.call(call, SimpleNamespace(record_id="1"))  # type: ignore[arg-type]

    asyncio.run(main())
    return seen


def test_each_attempt_tells_the_service_of_its_own_span() -> None:
    first, second = sent(HttpSettings(url=Template.parse("http://a/")), 2)
    assert first.count(b"traceparent: ") == second.count(b"traceparent: ") == 1
    assert first != second


def test_what_the_pipeline_file_says_of_it_stays() -> None:
    headers = {"TraceParent": Template.parse(PARENT)}
    (lines,) = sent(HttpSettings(url=Template.parse("http://a/"), headers=headers), 1)
    assert lines.lower().count(b"traceparent: ") == 1
    assert PARENT.encode() in lines


def opened(**variables: str) -> Any:
    """What `trace = true` means where these variables are set."""
    settings = resolve({"trace": True, "stage": [{"builtin": "leads"}]})
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(name, text)
        kind = trace_of(settings)
        return kind and kind.opened()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("OTEL_TRACES_SAMPLER", "always-on", "no sampler always-on, did you mean always_on?"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf is all that is spoken"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "expected otlp or none"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "expected a number from 1 on, got 'many'"),
    ],
)
def test_variables_that_are_no_good(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_") as raised:
        opened(**{name: text})
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ["5%", "-1", "nan", "1.5"])
def test_a_share_is_from_0_to_1(text: str) -> None:
    variables = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": text}
    with pytest.raises(ConfigError, match="from 0 to 1"):
        opened(**variables)


@pytest.mark.parametrize(
    "variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}]
)
def test_it_may_be_switched_off_for_a_whole_host(variables: dict[str, str]) -> None:
    assert opened(**variables) is None


@pytest.mark.parametrize(("trace", "pushes"), [(True, True), (None, False), (False, False)])
def test_the_variables_alone_switch_nothing_on(
    monkeypatch: pytest.MonkeyPatch, trace: bool | None, pushes: bool
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    assert pushes_metrics(resolve({"trace": trace})) is pushes


def test_a_field_has_a_name() -> None:
    with pytest.raises(ConfigError, match="trace_field: expected the name of a field"):
        resolve({"trace": {"trace_field": "a..b"}})
