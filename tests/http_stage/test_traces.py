"""`--trace`: what a receiver of OTLP gets, in the protocol's own classes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.otlp import Receiver, attributes, receiving

from tests.conftest import ROOT
from tests.http_stage.conftest import Outcome

pytestmark = pytest.mark.forked
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"
INTERNAL, CLIENT, ERROR = 1, 3, 2
Trace = Callable[..., Outcome]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def trace(enrich: Any, receiver: Receiver) -> Trace:
    """Run a pipeline whose traces are received, all of them unless `sampler` says otherwise."""
    receiver.requests.clear()

    def trace_records(
        text: str, *given: Any, args: tuple[str, ...] = (), sampler: str = "always_on", **env: str
    ) -> Outcome:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_SAMPLER": sampler} | env
        done: Outcome = enrich(text, *given, args=("--trace", *args), **env)
        return done

    return trace_records


def sent_parent(echo: dict[str, Any]) -> list[str]:
    return [value for name, value in echo["headers"] if name.lower() == "traceparent"]


@pytest.mark.parametrize(("workers", "client"), [("1", "lean"), ("2", "aiohttp")])
def test_a_record_its_stage_and_its_call(
    trace: Trace, receiver: Receiver, workers: str, client: str
) -> None:
    """One below the other, and the service is told of the lowest one; from workers, too."""
    text = f'http.url = "SERVER/echo?n={{n}}"\nhttp.client = "{client}"\n'
    given = [{"n": n} for n in range(4)]
    outcome = trace(text, *given, args=("-w", workers, "--run-id", "job.7"))
    assert len(receiver.traces) == 4
    for line, echo in enumerate(outcome.results, 1):
        record, stage, call = receiver.traces[f"job.7:<stdin>:{line}"]
        assert (record.name, stage.name, call.name) == ("record", "x", "GET /echo")
        assert [each.kind for each in (record, stage, call)] == [INTERNAL, INTERNAL, CLIENT]
        assert record.parent_span_id == b""
        assert stage.parent_span_id == record.span_id
        assert call.parent_span_id == stage.span_id
        for outer, inner in ((record, stage), (stage, call)):
            assert inner.end_time_unix_nano <= outer.end_time_unix_nano
        assert 0 < call.start_time_unix_nano < call.end_time_unix_nano
        ids = f"{call.trace_id.hex()}-{call.span_id.hex()}"
        assert sent_parent(echo) == [f"00-{ids}-01"]
        said = attributes(call)
        assert said["http.response.status_code"] == 200
        assert (said["server.address"], said["url.scheme"]) == ("127.0.0.1", "http")
        assert attributes(record)["streamproc.run.id"] == "job.7"
    assert {each["service.name"] for each in receiver.resources} == {"streamproc"}
    assert len({each["service.instance.id"] for each in receiver.resources}) <= int(workers)


def test_each_attempt_and_what_was_waited_for(trace: Trace, receiver: Receiver) -> None:
    """A failed record is found in the trace by the id that its `_error` has."""
    text = 'http.url = "SERVER/status/503"\nretry = { attempts = 3, base = 0.001 }\n'
    (error,) = trace(text).errors
    record, stage, *calls = receiver.traces[error["id"]]
    assert [attributes(each).get("http.request.resend_count") for each in calls] == [None, 1, 2]
    assert len({each.span_id for each in calls}) == 3
    assert [each.status.code for each in (record, stage, *calls)] == [ERROR] * 5
    assert {attributes(each)["error.type"] for each in calls} == {"503"}
    assert attributes(record)["error.type"] == attributes(stage)["error.type"] == error["kind"]
    assert attributes(record)["streamproc.record.status"] == "failed"
    waits = [event for event in stage.events if event.name == "retry"]
    assert len(waits) == 2
    assert all(attributes(event)["seconds"] <= 0.01 for event in waits)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_several_sources_are_below_their_stage(
    trace: Trace, receiver: Receiver, folder: Path, workers: str
) -> None:
    """Each with its calls; the stage lasts as long as they do, and what failed is marked."""
    (folder / "own.py").write_text("def own(record):\n    return 1\n")
    text = """
        [[stage]]
        name = "x"
        all = [
            { name = "a", http = { url = "SERVER/delay?s=0.05" } },
            { name = "b", http = { url = "SERVER/status/400" } },
            { name = "c", python = "own.py:own", into = "c" },
        ]"""
    (error,) = trace(text, args=("-w", workers)).errors
    record, *spans = receiver.traces[error["id"]]
    by_name = {each.name: each for each in spans}
    assert set(by_name) == {"x", "a", "b", "c", "attempt", "GET /delay", "GET /status/400"}
    stage, a, b = (by_name[name] for name in "xab")
    assert stage.parent_span_id == record.span_id
    assert {by_name[name].parent_span_id for name in "abc"} == {stage.span_id}
    assert by_name["GET /delay"].parent_span_id == a.span_id
    assert by_name["GET /status/400"].parent_span_id == b.span_id
    for inner in (a, b, by_name["c"]):
        assert stage.start_time_unix_nano <= inner.start_time_unix_nano
        assert inner.end_time_unix_nano <= stage.end_time_unix_nano
    assert [each.status.code == ERROR for each in (record, stage, b, a)] == [True] * 3 + [False]
    assert attributes(b)["error.type"] == "http_status"


def test_a_fallback_on_the_same_server_is_called_by_its_own_name(
    trace: Trace, receiver: Receiver
) -> None:
    text = """
        http.url = "SERVER/status/500"
        retry = { attempts = 2, base = 0 }
        fallback = [
            { http = { url = "SERVER/status/404", method = "POST", missing = "fail" } },
            { http = { url = "SERVER/ok?n={n}" } },
        ]"""
    trace(text, {"n": 1})
    calls = [each for each in receiver.traces["<stdin>:1"] if each.kind == CLIENT]
    names = ["GET /status/500", "GET /status/500", "POST /status/404", "GET /ok"]
    assert [each.name for each in calls] == names
    resent = [attributes(each).get("http.request.resend_count") for each in calls]
    assert resent == [None, 1, None, None]


def test_another_line_of_a_record_is_not_sent_again(
    trace: Trace, receiver: Receiver, folder: Path
) -> None:
    code = "import streamproc\n@streamproc.transform\ndef twice(record):\n    return [record] * 2\n"
    (folder / "own.py").write_text(code)
    text = """
        [[stage]]
        name = "twice"
        python = "own.py:twice"
        [[stage]]
        name = "x"
        http.url = "SERVER/ok"
        """
    trace(text)
    calls = [each for each in receiver.traces["<stdin>:1"] if each.kind == CLIENT]
    assert ["http.request.resend_count" in attributes(each) for each in calls] == [False] * 2


def test_a_record_may_have_a_parent_of_its_own(trace: Trace, receiver: Receiver) -> None:
    """One that was sampled is, one that was not is not, what is none is as if there was none."""
    text = '[trace]\ntrace_field = "meta.trace"\n[[stage]]\nname = "x"\nhttp.url = "SERVER/echo"\n'
    given = [{"meta": {"trace": each}} for each in (PARENT, UNSAMPLED, "nonsense", 7)]
    outcome = trace(text, *given, {"meta": 1}, {}, sampler="parentbased_always_off")
    ((record, _, call),) = receiver.traces.values()
    assert record.parent_span_id.hex() == "b7ad6b7169203331"
    assert {each.trace_id.hex() for each in (record, call)} == {PARENT[3:35]}
    parents = [sent_parent(echo) for echo in outcome.results]
    assert parents == [[f"{PARENT[:35]}-{call.span_id.hex()}-01"], *[[]] * 5]


def test_a_file_may_be_called_anything(trace: Trace, receiver: Receiver, folder: Path) -> None:
    """Traces, the service and the log know its records by the same name."""
    (folder / os.fsdecode(b"\xff\n.jsonl")).write_text("{}\nno JSON\n")
    text = 'http.url = "SERVER/echo"\nrequest_id = true\n'
    outcome = trace(text, args=(os.fsdecode(b"\xff\n.jsonl"),))
    echo, _ = outcome.results
    assert ["X-Request-Id", r"\udcff\n.jsonl:1"] in echo["headers"]
    assert set(receiver.traces) == {r"\udcff\n.jsonl:1", r"\udcff\n.jsonl:2"}
    assert rb"warning: \udcff\n.jsonl:2: malformed" in outcome.stderr


def test_nothing_of_a_record_is_in_a_trace(trace: Trace, receiver: Receiver) -> None:
    """Nor a credential: not in a name, an attribute, a message."""
    text = (
        'http.url = "SERVER/status/500?q={secret}&k=${SECRET_KEY}"\n'
        'http.auth.bearer = "t0ken-${SECRET_KEY}"\nretry = false\n'
    )
    given = {"secret": "sesame-1"}
    env = {"SECRET_KEY": "sesame-2", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=sesame-3"}
    outcome = trace(text, given, **env)
    assert outcome.errors
    assert receiver.requests[0][1]["x-key"] == "sesame-3"
    sent = b"".join(message.SerializeToString() for _, _, message in receiver.requests)
    assert b"/status/500" in sent
    assert not [word for word in (b"sesame", b"t0ken", b"SECRET") if word in sent]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_header_that_the_sdk_refuses_is_not_shown(trace: Trace, workers: str) -> None:
    """It names it in its warning, and it has a credential in it."""
    headers = "x-key: sesame-open-1,two words=sesame-open-2"
    text = 'http.url = "SERVER/ok"\n'
    outcome = trace(text, args=("-w", workers), OTEL_EXPORTER_OTLP_HEADERS=headers)
    assert b"Header format invalid" in outcome.stderr
    assert b"sesame" not in outcome.stderr


def test_a_list_is_sent_under_one_trace(trace: Trace, receiver: Receiver) -> None:
    text = 'http = { url = "SERVER/bulk", json = "{n}" }\nbatch = { size = 3, wait = "1m" }\n'
    trace(text, {"n": 1}, {"n": 2}, {"n": 3})
    assert len(receiver.traces) == 3
    (call,) = [each for each in receiver.spans if each.kind == CLIENT]
    assert call.name == "POST /bulk"
    assert receiver.traces["<stdin>:1"][-1] == call
    for line in (2, 3):
        record, stage = receiver.traces[f"<stdin>:{line}"]
        assert (record.name, stage.name) == ("record", "x")
        assert stage.end_time_unix_nano >= call.end_time_unix_nano


def test_an_answer_that_was_kept_is_no_call(trace: Trace, receiver: Receiver) -> None:
    trace('http.url = "SERVER/ok"\ncache = "1h"\nconcurrency = 1', {}, {}, args=("-j", "1"))
    first, second = receiver.traces["<stdin>:1"], receiver.traces["<stdin>:2"]
    assert [each.name for each in first] == ["record", "x", "GET /ok"]
    assert [each.name for each in second] == ["record", "x"]
    assert attributes(second[1])["streamproc.cached"] is True


def test_a_call_of_another_record_is_waited_for(trace: Trace, receiver: Receiver) -> None:
    """The stage says so, and for how long."""
    trace('http.url = "SERVER/delay?s=0.2"\ncache = "1h"', {}, {})
    first, second = receiver.traces["<stdin>:1"], receiver.traces["<stdin>:2"]
    assert [each.name for each in first] == ["record", "x", "GET /delay"]
    assert [each.name for each in second] == ["record", "x"]
    assert attributes(second[1])["streamproc.coalesced"] is True
    assert second[1].end_time_unix_nano >= first[2].end_time_unix_nano
    assert second[1].start_time_unix_nano < first[2].end_time_unix_nano


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_place_that_is_not_there_is_told_once(enrich: Any, workers: str) -> None:
    """The output is what it would be, and what was not sent is counted, of all workers."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "1",
    }
    env |= {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_MAX_QUEUE_SIZE": "20"}
    given = [{"n": n} for n in range(200)]
    text = 'http.url = "SERVER/ok?{n}"\n'
    outcome = enrich(text, *given, args=("--trace", "-w", workers), **env)
    assert outcome.counts["ok"] == 200
    first, *others = outcome.stderr.splitlines()[:-1]
    why = f"traces cannot be sent, and the run goes on: 127.0.0.1:{port}: "
    assert first.endswith(f"{why}Connection refused".encode())
    assert [line for line in others if b"cannot be sent" in line] == []
    assert [line for line in others if b"not sent" in line] == others[-1:]
    assert others[-1].endswith(b"traces: 200 were not sent")


def test_metrics_are_sent_by_the_names_that_they_have(trace: Trace, receiver: Receiver) -> None:
    """At the end they are those of the summary, and nothing but `/metrics` counts otherwise."""
    env = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "none"}
    outcome = trace('http.url = "SERVER/ok"\n', *[{"n": n} for n in range(7)],
                    args=("-w", "2"), **env)  # fmt: skip
    assert {path for path, _, _ in receiver.requests} == {"/v1/metrics"}
    last = receiver.requests[-1][2]
    metrics = {m.name: m for r in last.resource_metrics for s in r.scope_metrics for m in s.metrics}
    received = metrics["streamproc_records_received_total"].sum
    assert [point.as_int for point in received.data_points] == [outcome.counts["received"]]
    emitted = metrics["streamproc_records_emitted_total"].sum.data_points
    assert {attributes(p)["status"]: p.as_int for p in emitted}["ok"] == 7
    (requests,) = metrics["streamproc_requests_total"].sum.data_points
    assert (requests.as_int, attributes(requests)["outcome"]) == (7, "ok")
    (durations,) = metrics["streamproc_request_duration_seconds"].histogram.data_points
    assert durations.count == sum(durations.bucket_counts) == 7
    (run,) = metrics["streamproc_run_info"].gauge.data_points
    assert (run.as_int, attributes(run)["pipeline"]) == (1, "x")
    assert metrics["streamproc_build_info"].gauge.data_points
    assert len(durations.bucket_counts) == len(durations.explicit_bounds) + 1


def test_without_the_extra_it_says_what_to_install(run: Any, folder: Path) -> None:
    package = folder / "opentelemetry"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named opentelemetry', name='opentelemetry')"
    )
    env = {"PYTHONPATH": f"{folder}:{ROOT}"}
    done = run("-e", "leads", "--trace", "-o", "out", stdin=b"{}\n", env=env)
    assert done.returncode == 78
    assert b"pip install 'streamproc[otel]'" in done.stderr
    assert not (folder / "out").exists()
    assert run("-e", "leads", stdin=b"{}\n", env=env).returncode == 0
