"""The figures of `--monitor` against the summary, and against what the server has counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monitored import Asked
from servers.running import Server

from tests.conftest import summary

pytestmark = pytest.mark.forked
RECORDS = 300
STAGE = """
concurrency = 32
[[stage]]
name = "x"
http.url = "SERVER/status/{s}?body={b}"
retry = { attempts = 2, base = 0 }
cache = "1h"
rate = "2000/s"
breaker = false
"""


HOSTILE = """
[[stage]]
name = "x"
http = { url = "{url}", allow_hosts = ["http://*:9"] }
fallback = [{ value = 1 }]
retry = false
[[stage]]
name = "y"
http.url = "SERVER/status/{s}"
[[stage]]
name = "z"
python = "kinds.py:fail"
"""
KINDS = """
import streamproc

def fail(record):
    raise streamproc.RecordError(record["kind"], "as it says")
"""


def total(samples: dict[tuple[str, ...], float], name: str, **at: str) -> float:
    """Of all samples of a name that have these values of labels, by their place."""
    return sum(
        value
        for key, value in samples.items()
        if key[0] == f"streamproc_{name}" and all(key[int(k[1:])] == v for k, v in at.items())
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_they_are_the_same(
    start: Any, pipeline: Callable[..., str], server: Server, workers: str
) -> None:
    """While it runs they grow; when all is written they are the server's, and the summary's."""
    process = start(
        "-c", pipeline(STAGE), "-w", workers, "--monitor", "127.0.0.1:0", "--summary", "json"
    )
    ask = Asked(process)
    statuses = [200, 404, 500, 200, 503]
    for n in range(RECORDS):
        record = {"s": statuses[n % 5], "b": n // 10}
        process.stdin.write(json.dumps(record).encode() + b"\n")
        if n == RECORDS // 2:
            half = ask.until("/metrics", lambda a: total(a.samples, "requests_total") > 0).samples
    for _ in range(RECORDS):
        process.stdout.readline()
    asked = server.stats()["total"]

    def is_all_counted(answer: Any) -> bool:
        """Workers say it now and then, and a record has its time when it is written."""
        made = total(answer.samples, "requests_total")
        return made >= asked and total(answer.samples, "record_duration_seconds_count") >= RECORDS

    samples = ask.until("/metrics", is_all_counted).samples
    stats = ask("/stats").json
    process.stdin.close()
    assert process.wait() == 3
    counts = summary(process.stderr.read())
    assert total(half, "requests_total") <= total(samples, "requests_total") == asked
    assert counts["requests"] == stats["requests"] == asked
    assert total(samples, "records_received_total") == counts["received"] == RECORDS
    for status in ("ok", "failed"):
        assert samples["streamproc_records_emitted_total", status] == counts[status]
    assert total(samples, "records_failed_total") == counts["failed"] > 0
    assert total(samples, "retries_total") == counts["retries"] > 0
    for result, name in (("hit", "cache_hits"), ("coalesced", "coalesced")):
        assert total(samples, "cache_requests_total", _1=result) == counts[name]
    assert total(samples, "cache_requests_total") == RECORDS
    assert total(samples, "request_duration_seconds_count") == asked
    assert total(samples, "record_duration_seconds_count") == RECORDS
    assert total(samples, "rate_limit_wait_seconds_count") == counts["rate_limited"]
    assert samples["streamproc_input_bytes_total",] == counts["bytes_in"]
    assert samples["streamproc_output_bytes_total",] == counts["bytes_out"]
    answered = Counter(f"{status // 100}xx" for _, _, status in server.stats()["arrivals"])
    of_class = {name: total(samples, "requests_total", _1=name) for name in answered}
    assert of_class == answered
    assert {key[3] for key in samples if key[0] == "streamproc_requests_total"} == {server.url}


TWO = """
[[stage]]
name = "x"
http.url = "SERVER/status/{s}"
retry = false
breaker = false
[[stage]]
name = "both"
all = [
    { name = "y", http.url = "SERVER/status/200", into = "y" },
    { name = "z", python = "kinds.py:ready", into = "z" },
]
[[stage]]
name = "last"
http.url = "SERVER/status/200"
fallback = [{ value = 1 }]
"""
READY = """
async def ready(record):
    return {"z": 1}
"""


def test_each_stage_and_each_source_times_its_records(
    start: Any, pipeline: Callable[..., str], folder: Path, server: Server
) -> None:
    """Also those that fail there; one that failed before does not come."""
    (folder / "kinds.py").write_text(READY)
    process = start("-c", pipeline(TWO), "--monitor", "127.0.0.1:0", "--summary", "json")
    ask = Asked(process)
    process.stdin.write(b'{"s":200}\n{"s":500}\n{"s":200}\n')
    for _ in range(3):
        process.stdout.readline()
    name = "streamproc_record_duration_seconds_count"
    samples = ask.until("/metrics", lambda a: a.samples.get((name, "last")) == 2).samples
    found = {stage: samples.get((name, stage)) for stage in ("x", "y", "z", "last")}
    assert found == {"x": 3, "y": 2, "z": 2, "last": 2}


def test_what_records_say_is_no_label(
    start: Any, pipeline: Callable[..., str], folder: Path, server: Server
) -> None:
    """All targets that they name are one, and a kind that code took from them is `other`."""
    (folder / "kinds.py").write_text(KINDS)
    process = start("-c", pipeline(HOSTILE), "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    for n in range(5):
        record = {"url": f"http://127.0.0.{n + 1}:9/", "s": 404, "kind": f"<img{n}>"}
        process.stdin.write(json.dumps(record).encode() + b"\n")
    for _ in range(5):
        process.stdout.readline()
    answer = ask.until(
        "/metrics", lambda answer: total(answer.samples, "records_failed_total") == 5
    )
    samples = answer.samples
    stats = ask("/stats").json
    assert len(stats.pop("last_failures")) == 5  # they are of records, and shown as such
    assert b"<img" not in answer.body + json.dumps(stats).encode() + ask("/ready").body
    assert b"127.0.0." not in answer.body.replace(server.url.encode(), b"")
    assert total(samples, "requests_total", _3="(record)") == 5
    assert total(samples, "requests_total", _3=server.url, _2="not_found") == 5
    assert samples["streamproc_records_failed_total", "other", "z"] == 5
    assert samples["streamproc_circuit_state", "closed", "(record)"] == 5
    process.stdin.close()
    assert process.wait() == 3


def test_an_open_circuit_is_no_reason_to_restart(
    start: Any, pipeline: Callable[..., str], server: Server
) -> None:
    """It is listed, and counted; the run is ready, for it goes on by itself."""
    text = 'http.url = "SERVER/status/503"\nretry = false\nbreaker = { consecutive = 2 }'
    process = start("-c", pipeline(text), "-j", "1", "--monitor", "127.0.0.1:0")
    ask = Asked(process)
    process.stdin.write(b"{}\n" * 20)
    answer = ask.until("/ready", lambda answer: answer.json["degraded"] != [])
    assert answer.status == 200
    assert answer.json["degraded"][0]["target"] == server.url
    samples = ask("/metrics").samples
    assert samples["streamproc_circuit_transitions_total", server.url, "open"] >= 1
    assert samples["streamproc_circuit_state", "closed", server.url] == 0
    assert total(samples, "circuit_state") == 1
