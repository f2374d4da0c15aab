"""How a source, a sink and dead letters of topics are joined, with each other and with a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from streamproc.interfaces import RunObserver, SinkScope, SourceScope, Stream
from streamproc.kafka.brokers import BrokerMonitor, broker_monitor
from streamproc.kafka.committer import OffsetCommitter
from streamproc.kafka.settings import KafkaSinkSettings, KafkaSourceSettings
from streamproc.kafka.sink import KafkaSink
from streamproc.kafka.source import KafkaSource
from streamproc.kafka.transactions import TransactionalSink


def source_of(settings: KafkaSourceSettings, scope: SourceScope) -> KafkaSource:
    """What reads topics; newlines inside of values become spaces for sinks of lines."""
    source = KafkaSource(
        settings,
        stop_at_end=scope.stops_at_end,
        connect_timeout_s=scope.connect_timeout_s,
        one_line=not scope.sink.takes_messages,
        lane_control=None if scope.stream is None else _LaneControl(scope.stream),
    )
    if scope.stream is not None:
        scope.stream.on_room(source.room)
    return source


def keeper_of(source: KafkaSource, scope: SourceScope) -> OffsetCommitter:
    """Who commits, unless the transactions of the sink do."""
    sink = scope.sink
    exactly_once = isinstance(sink, KafkaSinkSettings) and sink.exactly_once
    return OffsetCommitter(source, in_transactions=exactly_once)


def sink_of(settings: KafkaSinkSettings, scope: SinkScope) -> KafkaSink:
    """What writes a topic, where it can as the source's partitions are."""
    if settings.exactly_once and not scope.takes_dead_letters:
        assert isinstance(scope.source, KafkaSource)
        return TransactionalSink(settings, scope, scope.source)
    return KafkaSink(settings, scope)


def watch(brokers: str, observer: RunObserver) -> BrokerMonitor:
    """`observer` tells when they go, and when they are back."""
    loop = asyncio.get_running_loop()

    def changed(which: str, are_there: bool) -> None:
        with suppress(RuntimeError):  # the run is over
            told = partial(observer.brokers_changed, which, are_there=are_there)
            loop.call_soon_threadsafe(told)

    monitor = broker_monitor(brokers)
    monitor.report_to(changed)
    return monitor


class _LaneControl:
    """See `source.LaneControl`. Before the run has begun, nothing is to be waited for."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def _committer(self) -> OffsetCommitter | None:
        keeper = self._stream.keeper
        assert keeper is None or isinstance(keeper, OffsetCommitter)
        return keeper

    def changed(self, partitions: Iterable[tuple[str, int]]) -> None:
        self._stream.observer.partitions_changed(partitions)

    def is_open(self, lane: int) -> bool:
        return self._stream.is_open(lane)

    async def drained(self, lanes: Sequence[int]) -> None:
        if self._committer is not None:
            for lane, lines in self._stream.recall(lanes).items():
                self._committer.recalled(lane, lines)
            await self._committer.drained(list(lanes))

    def drop(self, lanes: Sequence[int]) -> None:
        self._stream.drop(lanes)
        if self._committer is not None:
            self._committer.forget(list(lanes))
