"""What a collector is sent: spans as they were collected, metrics by the names of `/metrics`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from servers.otlp import Receiver, attributes, receiving

from streamproc.counters import RunCounters
from streamproc.errors import ConfigError
from streamproc.telemetry import export_queue
from streamproc.telemetry.metrics import infos_of
from streamproc.telemetry.otlp import span_queue
from streamproc.telemetry.otlp_metrics import MetricPush
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.span import SpanData, SpanEvent, TraceData
from streamproc.telemetry.summary import Summary

WAITED = SpanEvent("waited", 25, {"for_s": 0.5})
RECORD = SpanData("record", 10, parent_id=7, kind="CONSUMER", ended_ns=40, span_id=1)
CALL = SpanData("call", 20, parent_id=1, kind="CLIENT", ended_ns=30, span_id=2, is_failed=True)
CALL.attributes["n"] = 2
CALL.events.append(WAITED)
TRACE = TraceData(0xABC, "vendor=1", [RECORD, CALL])


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


def sent(environment: Mapping[str, str], *traces: TraceData) -> list[str]:
    """Send them; returns what is told of those that did not arrive."""
    told: list[Any] = []
    queue = span_queue(environment, told.append)
    queue.start()
    for trace in traces:
        queue.put(trace)
    queue.close()
    return [each.reason for each in told if each.reason]


def test_spans_arrive_as_they_were_collected(receiver: Receiver) -> None:
    """In one trace, the first with the caller as its parent; times, kinds, events, failures."""
    assert sent({}, TRACE) == []
    record, call = receiver.spans
    assert record.trace_id == call.trace_id == (0xABC).to_bytes(16, "big")
    assert [int.from_bytes(each.parent_span_id, "big") for each in (record, call)] == [7, 1]
    assert (record.name, record.kind, record.trace_state) == ("record", 5, "vendor=1")
    assert (call.name, call.kind, attributes(call)) == ("call", 3, {"n": 2})
    assert [(each.start_time_unix_nano, each.end_time_unix_nano) for each in (record, call)] == [
        (10, 40),
        (20, 30),
    ]
    assert [(e.name, e.time_unix_nano, attributes(e)) for e in call.events] == [
        ("waited", 25, {"for_s": 0.5})
    ]
    assert [each.status.code for each in (record, call)] == [0, 2]


@pytest.mark.parametrize(("name", "expected"), [(None, "streamproc"), ("leads", "leads")])
def test_who_sends(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str | None, expected: str
) -> None:
    """Us, unless the environment has a name for it."""
    if name is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    sent({}, TRACE)
    assert receiver.resources[0]["service.name"] == expected


def test_a_collector_that_cannot_be_reached_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By its address and the system's words, without the password; said once, not by the SDK."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:secret@127.0.0.1:{port}")
    assert sent({}, TRACE) == [f"127.0.0.1:{port}: Connection refused"]
    assert "opentelemetry" not in {record.name.partition(".")[0] for record in caplog.records}


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_collector_that_refuses(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """It is named, also where it is not asked again because there is no time left."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")  # a pause is longer
    receiver.status = status
    (why,) = sent({}, TRACE)
    assert why.startswith(f"{receiver.url.removeprefix('http://')}: {status} ")


@pytest.mark.parametrize(
    ("timeout_s", "said"), [("0.2", "no answer in time"), ("60", "there is no answer")]
)
def test_a_collector_that_is_deaf_is_named(
    monkeypatch: pytest.MonkeyPatch, timeout_s: str, said: str
) -> None:
    """Also where the run ends before its time is over."""
    monkeypatch.setattr(export_queue, "_END_S", 0.5)
    monkeypatch.setattr(export_queue, "_LEAVE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", timeout_s)
        assert sent({}, TRACE) == [f"127.0.0.1:{port}: {said}"]


def test_an_address_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "me:secret@127.0.0.1:4318")
    assert sent({}, TRACE) == ["OTEL_EXPORTER_OTLP_ENDPOINT is no URL of HTTP"]


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "0"},
        {"OTEL_BSP_SCHEDULE_DELAY": "soon"},
    ],
)
def test_variables_that_are_no_good_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(environment))):
        sent(environment)


def test_metrics_are_those_of_the_page_for_prometheus(receiver: Receiver) -> None:
    """The last reading is sent at the end of a run that is shorter than the interval."""
    counters = RunCounters(3, 0)
    counters.ok = 3
    reading = Reading(Summary.of(counters, 1.0, 0), in_flight=2)

    async def main() -> None:
        push = MetricPush(lambda: reading, infos_of("1.2", {"run_id": "r"}), {})
        push.start()
        await push.close()

    asyncio.run(main())
    (_, _, message) = receiver.requests[-1]
    found = {m.name: m for m in message.resource_metrics[0].scope_metrics[0].metrics}
    received = found["streamproc_records_received_total"].sum
    assert received.is_monotonic
    assert [point.as_double or point.as_int for point in received.data_points] == [3]
    gauge = found["streamproc_records_in_flight"].gauge.data_points
    assert [point.as_double or point.as_int for point in gauge] == [2]
    assert attributes(found["streamproc_run_info"].gauge.data_points[0]) == {"run_id": "r"}
