"""The metrics of `/metrics`, sent over OTLP/HTTP: `--trace` with `OTEL_METRICS_EXPORTER=otlp`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from streamproc.telemetry.export_queue import ExportQueue
from streamproc.telemetry.metrics import Family, families
from streamproc.telemetry.otlp import (
    SCHEMA_URL,
    SCOPE,
    Line,
    hearing,
    made_for,
    number_in,
    resource,
    why,
)
from streamproc.telemetry.reading import Reading

_SINCE_BEGIN = AggregationTemporality.CUMULATIVE
_ENDINGS = {"counter": "_total", "info": "_info"}  # of names, by type
_WAITING = 2  # readings: a later one says what an earlier one did


class MetricPush:
    """Sends what `read` says every now and then, and at the end. Made and closed in one loop."""

    def __init__(
        self,
        read: Callable[[], Reading],
        infos: Sequence[Family],
        environment: Mapping[str, str],
    ) -> None:
        """`infos` are those of `infos_of`. Raises `ConfigError`."""
        interval_ms = number_in(environment, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)
        self._read = read
        self._interval_s = interval_ms / 1000
        sender = MetricSender(*made_for("METRICS", environment, OTLPMetricExporter), infos)
        self._queue: ExportQueue[tuple[Reading, int]] = ExportQueue(
            "metrics", sender, lambda _: 1, most=_WAITING, enough=1, delay_s=1.0
        )
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The run begins."""
        self._queue.start()
        self._wait()

    async def close(self) -> None:
        """It is over, and this was its end."""
        if self._timer is not None:
            self._timer.cancel()
            self._put()
            await asyncio.to_thread(self._queue.close)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._send)

    def _send(self) -> None:
        self._put()
        self._wait()

    def _put(self) -> None:
        if self._queue.has_room():
            self._queue.put((self._read(), time.time_ns()))


class MetricSender:
    """See `Exporter`. What it is given are readings, and when they were taken."""

    def __init__(self, exporter: OTLPMetricExporter, line: Line, infos: Sequence[Family]) -> None:
        self._exporter = exporter
        self._line = line
        self._infos = infos
        self._resource = resource()
        self._begun_ns = time.time_ns()

    def send(self, items: list[tuple[Reading, int]], on_trouble: Callable[[], None]) -> str | None:
        """See `Exporter`."""
        with hearing(on_trouble) as said:
            for reading, time_ns in items:
                result = self._exporter.export(self._data(reading, time_ns))
                if result is not MetricExportResult.SUCCESS:
                    return why(self._line, said)
        return None

    @property
    def trouble(self) -> str:
        """See `Exporter`."""
        return self._line.trouble

    def shutdown(self) -> None:
        """See `Exporter`."""
        self._exporter.shutdown()

    def _data(self, reading: Reading, time_ns: int) -> MetricsData:
        when = self._begun_ns, time_ns
        found = [*self._infos, *families(reading)]
        metrics = [Metric(*_described(each), _points(each, when)) for each in found]
        scope = ScopeMetrics(SCOPE, metrics, SCHEMA_URL)
        return MetricsData([ResourceMetrics(self._resource, [scope], SCHEMA_URL)])


def _described(family: Family) -> tuple[str, str, str]:
    """Name, description, unit; the name is that of `/metrics`."""
    name = family.name + _ENDINGS.get(family.type, "")
    return name, family.documentation, "s" if name.endswith("_seconds") else "1"


def _points(family: Family, when: tuple[int, int]) -> Sum | Gauge | Histogram:
    if family.type == "histogram":
        return Histogram(list(_histograms(family, when)), _SINCE_BEGIN)
    points = [NumberDataPoint(each.labels, *when, each.value) for each in family.samples]
    return Sum(points, _SINCE_BEGIN, True) if family.type == "counter" else Gauge(points)


def _histograms(family: Family, when: tuple[int, int]) -> Iterator[HistogramDataPoint]:
    """Prometheus counts what is up to a bound, OTLP what is between two of them."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, labels, value, *_ in family.samples:
        own = {key: label for key, label in labels.items() if key != "le"}
        series = found.setdefault(tuple(own.items()), {"labels": own, "up_to": []})
        if name.endswith("_bucket"):
            series["up_to"].append((float(labels["le"]), int(value)))
        else:
            series[name.rpartition("_")[2]] = value
    for series in found.values():
        counts = [count for _, count in series["up_to"]]
        yield HistogramDataPoint(
            series["labels"], *when,
            count=int(series["count"]), sum=series["sum"],
            bucket_counts=[b - a for a, b in zip([0, *counts], counts, strict=False)],
            explicit_bounds=[bound for bound, _ in series["up_to"][:-1]],
            min=None, max=None,  # type: ignore[arg-type]  # optional in OTLP: nobody keeps them
        )  # fmt: skip
