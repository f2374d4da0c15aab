"""What is told of the calls of one stage: it is counted and timed here, and nowhere else."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from time import perf_counter

from msgspec import Struct

from streamproc.call_metrics import CallMetrics, class_of, kind_of, label_of
from streamproc.counters import StageMetrics
from streamproc.errors import CallError, RecordError, described
from streamproc.interfaces.following import FOLLOWED, AnswerKept, SourceFailed
from streamproc.interfaces.observers import (
    NOBODY,
    Audience,
    CallEnded,
    CallFailed,
    CallRetried,
    CallsEnded,
    CallStarted,
    CallWaited,
    CircuitChanged,
    TargetPaused,
)
from streamproc.interfaces.run_events import StageSlow
from streamproc.secrets import redact
from streamproc.waits import Wait

_SHOWN = 500  # characters of a message
_SHOWN_NAME = 100  # of a kind, which user code chooses
_GIVEN_UP = "given_up"
_OF_CALLS = frozenset({CallStarted, CallEnded, CallsEnded, CallFailed})


class StageObserver:
    """Keeps `counts` up to date, and tells the observers of the run what they want to hear.

    `metrics` are what only a monitor shows of what policies do. `fallback` is that of its calls.
    """

    __slots__ = ("_audience", "_fallback", "_metrics", "_stage", "counts")

    def __init__(
        self,
        stage: str,
        counts: StageMetrics,
        audience: Audience = NOBODY,
        metrics: CallMetrics | None = None,
        fallback: int = 0,
    ) -> None:
        self._stage = stage
        self._fallback = fallback
        self._audience = audience
        self._metrics = metrics
        self.counts = counts

    @property
    def is_heard(self) -> bool:
        """Whether somebody hears of each call: known once the run begins."""
        audience = self._audience
        return audience.follow is not None or not audience.wanted.isdisjoint(_OF_CALLS)

    def _hears(self, kind: type[Struct]) -> bool:
        """Whether an observer wants such events, or somebody follows the record."""
        audience = self._audience
        return kind in audience.wanted or bool(audience.follow and FOLLOWED.get())

    def _tell(self, event: Struct) -> None:
        if type(event) in self._audience.wanted:
            self._audience.tell(event)
        if (follower := FOLLOWED.get()) is not None:
            follower.tell(event)

    # Plain code

    def called(self, calls: int, seconds: float, error: BaseException | None = None) -> None:
        """So many calls came back one after the other; with `error`, the last one raised it."""
        counts, failed = self.counts, error is not None
        counts.calls += calls
        counts.failed_calls += failed
        counts.total_s += seconds
        if self._hears(CallsEnded):
            self._tell(CallsEnded(self._stage, calls, failed, seconds))
        if error is not None:
            self._tell_failed(self._stage, 1, error)

    # Calls that are waited for

    def started(self, target: Hashable, attempt: int) -> float:
        """An attempt begins; returns when, for `ended` and `failed`."""
        audience = self._audience  # as `_hears`, without its frame
        if CallStarted in audience.wanted or (audience.follow and FOLLOWED.get()):
            self._tell(CallStarted(self._stage, str(target), attempt, self._fallback))
        return perf_counter()

    def ended(
        self,
        begun_s: float,
        target: Hashable,
        attempt: int,
        outcome: str = "ok",
        status: int | None = None,
    ) -> None:
        """It came back; with a `status`, if it was answered in HTTP."""
        seconds = perf_counter() - begun_s
        self.counts.took(seconds)
        self.counts.not_found += outcome == "not_found"
        if self._metrics is not None:
            self._metrics.took(label_of(target), outcome, status, seconds)
        self._tell_ended(seconds, target, attempt, outcome, status)

    def failed(
        self,
        begun_s: float,
        target: Hashable,
        attempt: int,
        error: BaseException,
        answered: int | None = None,
    ) -> None:
        """It failed with `error`, perhaps after it was `answered` with such a status."""
        seconds = perf_counter() - begun_s
        self.counts.took(seconds)
        self.counts.failed_calls += 1
        kind, status = _kind(error), error.status if isinstance(error, CallError) else None
        if self._metrics is not None:
            self._metrics.took(label_of(target), kind_of(kind), answered or status, seconds)
        self._tell_ended(seconds, target, attempt, kind, status)
        self._tell_failed(target, attempt, error)

    def requested(self, target: Hashable, attempt: int) -> float:
        """As `started`, of a call with policies."""
        self.counts.requests += 1
        return self.started(target, attempt)

    def recalled(self, begun_s: float, target: Hashable, attempt: int) -> None:
        """It was not sent after all, and begins again."""
        self.counts.requests -= 1
        self._tell_ended(perf_counter() - begun_s, target, attempt, _GIVEN_UP)

    def given_up(
        self, begun_s: float, target: Hashable, attempt: int, answered: int | None = None
    ) -> None:
        """Nothing came of it, and nothing will: it is none of the `calls`."""
        seconds = perf_counter() - begun_s
        if self._metrics is not None:
            self._metrics.took(label_of(target), "cancelled", answered, seconds)
        self._tell_ended(seconds, target, attempt, _GIVEN_UP)

    def _tell_ended(
        self,
        seconds: float,
        target: Hashable,
        attempt: int,
        outcome: str,
        status: int | None = None,
    ) -> None:
        audience = self._audience  # as `_hears`, without its frame
        if CallEnded in audience.wanted or (audience.follow and FOLLOWED.get()):
            said = str(target), attempt, outcome, seconds, status
            self._tell(CallEnded(self._stage, *said))

    def _tell_failed(self, target: Hashable, attempt: int, error: BaseException) -> None:
        if self._hears(CallFailed):
            message = error.message if isinstance(error, RecordError) else described(error)
            status = error.status if isinstance(error, CallError) else None
            said = redact(message[:_SHOWN])
            self._tell(CallFailed(self._stage, str(target), attempt, _kind(error), said, status))

    def gathered(self, seconds: float, failed: Mapping[str, RecordError]) -> None:
        """All its sources have answered, who tell of their calls themselves; some have `failed`."""
        self.counts.took(seconds)
        self.counts.failed_calls += bool(failed)
        if failed and (follower := FOLLOWED.get()) is not None:
            for name, error in failed.items():
                follower.tell(SourceFailed(name, _kind(error)))

    # What policies do about them

    def cached(self) -> None:
        """There was an answer already."""
        self.counts.cache_hits += 1
        self._looked_up("hit", AnswerKept(self._stage))

    def missed(self) -> None:
        """There was none, and nobody has asked yet."""
        self._looked_up("miss")

    def coalesced(self) -> None:
        """A record waits for a call that another one makes."""
        self.counts.coalesced += 1
        self._looked_up("coalesced", AnswerKept(self._stage, is_awaited=True))

    def _looked_up(self, result: str, kept: AnswerKept | None = None) -> None:
        if self._metrics is not None:
            self._metrics.lookups[self._stage, result] += 1
        if kept is not None and (follower := FOLLOWED.get()) is not None:
            follower.tell(kept)

    def rate_limited(self) -> None:
        """A call waits for the rate."""
        self.counts.rate_limited += 1

    def waited(
        self, target: Hashable, wait: Wait | None, seconds: float, *, for_rate: bool
    ) -> None:
        """A call had to wait for its start; None: for a place, while others were executing.

        `for_rate`: it was one of those that are `rate_limited`.
        """
        if for_rate and self._metrics is not None:
            self._metrics.rate_wait_s[label_of(target)].took(seconds)
        if seconds > 0 and self._hears(CallWaited):
            reason = "place" if wait is None else wait.reason
            if reason == "rate_limited" and not for_rate:  # tokens were there all the time
                reason = "place"
            self._tell(CallWaited(self._stage, str(target), reason, seconds))

    def retried(self, target: Hashable, failure: CallError, pause_s: float) -> None:
        """A call that failed is made again, after a pause."""
        self.counts.retries += 1
        if self._metrics is not None:
            reason = class_of(failure.status) or kind_of(failure.kind)
            self._metrics.retries[label_of(target), reason] += 1
        if self._hears(CallRetried):
            self._tell(CallRetried(self._stage, str(target), _kind(failure), pause_s))

    def circuit_changed(self, target: Hashable, state: str, reason: str) -> None:
        """The circuit of `target` is open, half-open or closed from now on."""
        self.counts.circuit_opened += state == "open"
        if self._metrics is not None:
            self._metrics.transitions[label_of(target), state] += 1
        if CircuitChanged in self._audience.wanted:
            said = redact(reason[:_SHOWN])
            self._audience.tell(CircuitChanged(self._stage, str(target), state, said))

    def paused(self, target: Hashable, seconds: float) -> None:
        """`target` asked to be called later."""
        if TargetPaused in self._audience.wanted:
            self._audience.tell(TargetPaused(self._stage, str(target), seconds))

    def was_slow(self, stages: str, seconds: float) -> None:
        """Plain code of one of these kept the loop for so long."""
        if StageSlow in self._audience.wanted:
            self._audience.tell(StageSlow(stages, seconds))

    def fell_back(self) -> None:
        """Another source is asked, as this one has no answer."""
        self.counts.fallbacks += 1


def _kind(error: BaseException) -> str:
    return str(error.kind)[:_SHOWN_NAME] if isinstance(error, RecordError) else "exception"
