"""A reading in the words of Prometheus. No label comes from a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from streamproc.call_metrics import BOUNDS_S, Durations
from streamproc.telemetry.reading import Reading
from streamproc.telemetry.summary import Summary
from streamproc.types import JsonObject

_ENDS = ("ok", "failed", "dead_lettered", "dropped", "filtered", "skipped", "unprocessed")
_STATES = ("closed", "half-open", "open")
_BOUNDS = [f"{bound:g}" for bound in BOUNDS_S] + ["+Inf"]

Family = Metric
"""One metric with all its labels, as Prometheus calls it."""

Labelled = Mapping[Any, float]
"""Values by labels: a text, or a tuple of them."""


def infos_of(version: str, about: Mapping[str, str]) -> list[Metric]:
    """What stays the same. `about` are the labels of the run."""
    return [
        InfoMetricFamily("streamproc_build", "What runs.", {"version": version}),
        InfoMetricFamily("streamproc_run", "Which run, of which stages.", dict(about)),
    ]


class Exposition:
    """What `/metrics` answers; `infos` are those of `infos_of`."""

    def __init__(self, infos: Sequence[Metric]) -> None:
        self._infos = infos
        self._process = ProcessCollector(registry=None)

    def text(self, reading: Reading, accept: str) -> tuple[bytes, str]:
        """As Prometheus or OpenMetrics, whichever `accept` asks for; and what it is."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        found: Any = _Families([*self._infos, *families(reading), *self._process.collect()])
        return encode(found), content_type


class _Families:
    """What an encoder takes: it calls for all of them."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def families(reading: Reading) -> Iterator[Metric]:
    """All metrics of a reading, by the names that are promised."""
    yield from _of_records(reading, reading.summary)
    yield from _of_calls(reading)
    yield from _of_limits(reading)
    yield from _of_shares(reading)


def _of_records(reading: Reading, summary: Summary) -> Iterator[Metric]:
    yield _counter("records_received", "Records that were read.", summary.received)
    ends = {name: getattr(summary, name) for name in _ENDS}
    yield _counters("records_emitted", "Records by where they ended.", ["status"], ends)
    failed: dict[tuple[str, str], int] = {}
    dead_lettered: dict[tuple[str, str], int] = {}
    for (status, stage, kind), count in reading.failed.items():
        failed[stage, kind] = failed.get((stage, kind), 0) + count
        if status == "dead_lettered":
            dead_lettered[stage, kind] = count
    labels = ["stage", "kind"]
    yield _counters("records_failed", "Records that failed, in any way.", labels, failed)
    yield _counters("records_dead_lettered", "Those among the dead letters.", labels, dead_lettered)
    yield _counter("input_bytes", "Bytes that were read.", summary.bytes_in)
    yield _counter("output_bytes", "Bytes that were written.", summary.bytes_out)
    yield _gauge(
        "records_in_flight",
        "Records in a call; while none is, those read and not written.",
        reading.in_flight,
    )
    yield _gauge("reorder_buffer_records", "Records done, not written.", reading.reorder_buffer)
    yield _gauge("oldest_in_flight_seconds", "Since the oldest call began.", reading.oldest_s)
    yield _gauge("draining", "1: it reads no more.", int(reading.is_draining))


def _of_calls(reading: Reading) -> Iterator[Metric]:
    calls = reading.calls
    labels = ["target", "outcome", "code_class"]
    yield _counters("requests", "Attempts, by what became of them.", labels, calls.requests)
    yield _counters("retries", "Attempts after the first.", ["target", "reason"], calls.retries)
    yield _counters("cache_requests", "Lookups.", ["stage", "result"], calls.lookups)
    yield _counters(
        "circuit_transitions", "New states of circuits.", ["target", "to"], calls.transitions
    )
    yield _record_duration(calls.record_s, reading.summary.stages)
    yield _histogram("request_duration", "Of attempts.", "target", calls.request_s)
    yield _histogram("rate_limit_wait", "Of calls, for the rate.", "target", calls.rate_wait_s)


def _of_limits(reading: Reading) -> Iterator[Metric]:
    limits: dict[str, float] = {}
    tokens: dict[str, float] = {}
    circuits: dict[tuple[str, str], float] = {}
    for each in reading.allowances:
        if each.limit is not None:
            limits[each.target] = each.limit
        if each.tokens is not None:
            tokens[each.target] = each.tokens
        if each.circuits:
            circuits |= {(each.target, state): each.circuits.get(state, 0) for state in _STATES}
    yield _gauges("concurrency_limit", "Calls at once, at most.", ["target"], limits)
    yield _gauges("rate_limit_available", "Calls that may begin at once.", ["target"], tokens)
    yield _gauges("circuit_state", "Circuits in it.", ["target", "state"], circuits)


def _of_shares(reading: Reading) -> Iterator[Metric]:
    """Each worker, each partition."""
    workers = {str(each.number): each for each in reading.workers}
    done = {number: each.done for number, each in workers.items()}
    flying = {number: each.in_flight for number, each in workers.items()}
    yield _counters("worker_records", "Records that it has done.", ["worker"], done)
    yield _gauges("worker_records_in_flight", "Of them, in a call.", ["worker"], flying)
    yield _gauges("partition_lag", "Messages that wait to be read.", ["partition"], reading.lags)


def _record_duration(
    durations: Mapping[str, Durations], stages: Mapping[str, JsonObject]
) -> Metric:
    """Of stages without policies only how many calls there were, and how long all of them took."""
    family = _histogram("record_duration", "Of records, at a stage.", "stage", durations)
    for name, counts in stages.items():
        if "requests" not in counts and counts.get("calls"):
            family.add_metric([name], [("+Inf", counts["calls"])], counts["total_s"])
    return family


def _counter(name: str, says: str, value: float) -> Metric:
    return CounterMetricFamily(f"streamproc_{name}", says, value)


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"streamproc_{name}", says, value)


def _counters(name: str, says: str, labels: list[str], values: Labelled) -> Metric:
    return _labelled(CounterMetricFamily(f"streamproc_{name}", says, labels=labels), values)


def _gauges(name: str, says: str, labels: list[str], values: Labelled) -> Metric:
    return _labelled(GaugeMetricFamily(f"streamproc_{name}", says, labels=labels), values)


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Labelled) -> Metric:
    for labels, value in values.items():
        family.add_metric([labels] if isinstance(labels, str) else labels, value)
    return family


def _histogram(
    name: str, says: str, label: str, by_label: Mapping[str, Durations]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"streamproc_{name}_seconds", says, labels=[label])
    for value, durations in by_label.items():
        buckets = list(zip(_BOUNDS, accumulate(durations.counts), strict=True))
        family.add_metric([value], buckets, durations.total_s)
    return family
