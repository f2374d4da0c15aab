"""`--trace`: an observer that follows some records and sends what became of them, as spans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Self

from msgspec import field

from streamproc.codec import decode
from streamproc.errors import ConfigError, RecordError
from streamproc.interfaces import ExportFailed, Follower, Observer, ObserverKind
from streamproc.paths import Path, path_of, value_of
from streamproc.record import Batch, id_of
from streamproc.shown import one_line
from streamproc.telemetry.export_queue import ExportQueue, say
from streamproc.telemetry.sampler import Sampler
from streamproc.telemetry.span import SpanData, TraceData
from streamproc.telemetry.trace_context import TraceContext
from streamproc.telemetry.traced_record import TracedRecord


class TraceKind(ObserverKind, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requests` are the attributes of calls over HTTP, by stage and the number of who answers
    instead, 0 for the stage. `askers`: the stage that asks a source among several. `system` is
    what a topic is of.

    `environment` has the variables of OpenTelemetry. `tell` hears of what cannot be sent: the log,
    or in a worker its parent, where that is heard of all workers.
    """

    follows: ClassVar[bool] = True

    run_id: str = ""
    trace_field: str | None = None
    system: str | None = None
    requests: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    askers: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    tell: Callable[[ExportFailed], object] = say

    def opened(self) -> Observer:
        """Raises `ConfigError`: without the SDK, or for variables that say what there is not."""
        with of_the_extra():
            from streamproc.telemetry.otlp import span_queue
        queue = span_queue(self.environment, self.tell)
        return Tracer(self, Sampler.of(self.environment), queue)


class Tracer(Observer):
    """Chooses records, and hands their spans over to `queue`, which is never waited for."""

    wanted = frozenset({ExportFailed})

    def __init__(self, kind: TraceKind, sampler: Sampler, queue: ExportQueue[TraceData]) -> None:
        self._kind = kind
        self._sampler = sampler
        self._queue = queue
        self._path = path_of(kind.trace_field) if kind.trace_field else ()
        self._name = self._path[0].encode() if self._path else b""
        self._ahead = sampler.gap()  # records without a parent that are not traced

    async def __aenter__(self) -> Self:
        self._queue.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._queue.close)

    def export_failed(self, event: ExportFailed) -> None:
        """See `Observer`."""
        self._queue.heard(event)

    def choose(self, batch: Batch) -> Container[int]:
        """See `Follow`: those that may have a parent, and the share of the others."""
        if self._asks(batch):
            return range(len(batch))
        return self._taken_of(len(batch))

    def follow(self, batch: Batch, i: int) -> Follower | None:
        """See `Follow`."""
        is_asked = self._asks(batch)
        parent = self._parent(batch, i) if is_asked else None
        if parent is not None:
            if not self._sampler.takes(parent):
                return None
        elif is_asked and not self._taken_of(1):
            return None
        else:
            parent = TraceContext(self._sampler.trace_id(), 0, is_sampled=True)
        if not batch.lines[i] or not self._queue.has_room():
            return None
        record = self._span(batch, i)
        record.parent_id = parent.span_id
        kind = self._kind
        return TracedRecord(parent, record, kind.requests, kind.askers, self._queue.put)

    def _asks(self, batch: Batch) -> bool:
        """Whether records of `batch` may say whose children they are."""
        return bool(self._name) or batch.messages is not None

    def _taken_of(self, count: int) -> set[int]:
        """Which of the next `count` records without a parent are traced."""
        taken, i = set(), self._ahead
        while i < count:
            taken.add(i)
            i += 1 + self._sampler.gap()
        self._ahead = i - count
        return taken

    def _span(self, batch: Batch, i: int) -> SpanData:
        run_id, cursor = self._kind.run_id, batch.cursor
        record_id = one_line(id_of(run_id, cursor, i))  # a name of a file may be no text at all
        attributes: dict[str, Any] = {"streamproc.record.id": record_id}
        if run_id:
            attributes["streamproc.run.id"] = run_id
        if self._kind.system is None:
            return SpanData("record", 0, attributes=attributes)
        topic, _, partition = cursor.file.rpartition("/")
        attributes |= {
            "messaging.system": self._kind.system,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": partition,
            "messaging.kafka.offset": cursor.line + i,
        }
        return SpanData(f"process {topic}", 0, kind="CONSUMER", attributes=attributes)

    def _parent(self, batch: Batch, i: int) -> TraceContext | None:
        """What the record says, or else the message that it came in."""
        if self._name and self._name in batch.lines[i]:
            parent = TraceContext.parse(_value(batch.lines[i], self._path))
            if parent is not None:
                return parent
        message = None if batch.messages is None else batch.messages[i]
        headers = dict(message.headers() or []) if message is not None else {}
        return TraceContext.parse(*(_text(headers.get(k)) for k in ("traceparent", "tracestate")))


@contextmanager
def of_the_extra() -> Iterator[None]:
    """What is imported here may not be installed. Raises `ConfigError`."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"trace needs {error.name or 'OpenTelemetry'}: pip install 'streamproc[otel]'"
        ) from None


def _value(line: bytes, path: Path) -> object:
    try:
        return value_of(decode(line), path)
    except RecordError:
        return None  # it will fail, and that is told


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1")
