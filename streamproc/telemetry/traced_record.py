"""One record that is traced: what is told of its calls, as spans.

The record has one, each of its stages has one below it, and each attempt of a stage one below that.
Of several sources each has one below that of their stage. What a call waited for before it began
are events of the stage, or source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar

from msgspec import Struct

from streamproc.interfaces import (
    AnswerKept,
    CallEnded,
    CallRetried,
    CallsEnded,
    CallStarted,
    CallWaited,
    SourceFailed,
    StageEnded,
)
from streamproc.record import BLANK, OK, Note
from streamproc.telemetry.span import SpanData, SpanEvent, TraceData, now_ns
from streamproc.telemetry.trace_context import TraceContext, headers_of
from streamproc.types import JsonObject

_MOST_SPANS = 128  # of a record, which may be refused for hours; as many events of a span
_GOOD = ("ok", "not_found")

_ATTEMPT: ContextVar[SpanData | None] = ContextVar("attempt", default=None)
"""What the present task is about: several may work for a record at once."""

Requests = Mapping[tuple[str, int], JsonObject]


class TracedRecord:
    """See `Follower`. It belongs to the trace of `parent`; `requests` and `askers` are those of
    `TraceKind`.
    """

    def __init__(
        self,
        parent: TraceContext,
        record: SpanData,
        requests: Requests,
        askers: Mapping[str, str],
        hand_over: Callable[[TraceData], None],
    ) -> None:
        self._trace = TraceData(parent.trace_id, parent.state, [record])
        self._record = record
        self._requests = requests
        self._askers = askers
        self._hand_over = hand_over
        self._stages: dict[str, SpanData] = {}
        self._first: dict[tuple[str, int], int] = {}  # attempt
        self._is_open = True

    @property
    def headers(self) -> bytes:
        """See `Follower`."""
        span = _ATTEMPT.get() or self._record
        return headers_of(self._trace.trace_id, span.span_id, self._trace.state)

    def begin(self) -> None:
        """See `Follower`."""
        self._record.begun_ns = now_ns()

    def end(self, note: Note | None) -> None:
        """See `Follower`."""
        self._is_open = False
        status = OK if note is None else note.status
        if status == BLANK:
            return
        record, failed = self._record, None if note is None else note.failed
        record.ended_ns = now_ns()
        record.attributes["streamproc.record.status"] = status
        if failed is not None:
            for span in (record, self._stages.get(failed.stage)):
                if span is not None:
                    span.fail(failed.kind)
        for span in self._trace.spans:
            span.ended_ns = span.ended_ns or record.ended_ns
        self._hand_over(self._trace)

    def tell(self, event: Struct) -> None:
        """See `Follower`. A call that goes on when the record is done belongs to no trace."""
        if not self._is_open:
            return
        match event:
            case CallStarted():
                self._started(event)
            case CallEnded():
                self._ended(event)
            case CallsEnded():
                self._took(event.stage, event.seconds)
            case AnswerKept():
                how = "coalesced" if event.is_awaited else "cached"
                self._took(event.stage, 0.0).attributes[f"streamproc.{how}"] = True
            case SourceFailed():
                self._took(event.stage, 0.0).fail(event.kind)
            case StageEnded():
                self._took(event.stage, event.seconds)
            case CallWaited():
                stage = self._took(event.stage, event.seconds)
                self._happened(stage, event.reason, {"seconds": event.seconds})
            case CallRetried():
                said = {"seconds": event.pause_s, "error.type": event.kind}
                self._happened(self._took(event.stage, 0.0), "retry", said)

    def _started(self, event: CallStarted) -> None:
        stage = self._took(event.stage, 0.0)
        if len(self._trace.spans) >= _MOST_SPANS:
            return
        attempt = SpanData("attempt", now_ns(), stage.span_id)
        asked = event.stage, event.fallback
        if (request := self._requests.get(asked)) is not None:
            attempt.kind = "CLIENT"
            attempt.attributes |= request
            method, template = request["http.request.method"], request.get("url.template")
            attempt.name = f"{method} {template}" if template else method
            # attempts go on counting where somebody else is asked, and begin anew for another line
            first = self._first[asked] = min(event.attempt, self._first.get(asked, event.attempt))
            if resent := event.attempt - first:
                attempt.attributes["http.request.resend_count"] = resent
        else:
            attempt.attributes["streamproc.attempt"] = event.attempt
        self._trace.spans.append(attempt)
        _ATTEMPT.set(attempt)

    def _ended(self, event: CallEnded) -> None:
        if (attempt := _ATTEMPT.get()) is not None:
            _ATTEMPT.set(None)
            attempt.ended_ns = now_ns()
            if event.status is not None:
                attempt.attributes["http.response.status_code"] = event.status
            if event.outcome not in _GOOD:
                attempt.fail(str(event.status or event.outcome))
        self._took(event.stage, event.seconds)

    def _took(self, name: str, seconds: float) -> SpanData:
        """The span of a stage, which goes on until now, and was `seconds` ago; so is that of who
        asks it among several.
        """
        now = now_ns()
        return self._lasted(name, now - round(seconds * 1e9), now)

    def _lasted(self, name: str, begun_ns: int, now: int) -> SpanData:
        asker = self._askers.get(name)
        outer = self._record if asker is None else self._lasted(asker, begun_ns, now)
        stage = self._stages.get(name)
        if stage is None:
            stage = self._stages[name] = SpanData(name, begun_ns, outer.span_id)
            self._trace.spans.append(stage)
        stage.begun_ns = min(stage.begun_ns, begun_ns)
        stage.ended_ns = now
        return stage

    @staticmethod
    def _happened(span: SpanData, name: str, attributes: JsonObject) -> None:
        if len(span.events) < _MOST_SPANS:
            span.events.append(SpanEvent(name, now_ns(), attributes))
