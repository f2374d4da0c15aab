"""The one thread that makes every consumer and transaction call.

librdkafka lets one caller in at a time, and blocks in its callbacks. The loop sends jobs;
while a rebalance waits for the loop to drain, jobs are done as well.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from streamproc.errors import StreamprocError, UnavailableError
from streamproc.kafka import client, positions
from streamproc.kafka.settings import KafkaSourceSettings

MOST_MESSAGES = 5_000  # of one call of `consume`
_PATIENCE_S = 0.5  # full for so long: pause, and go on polling
_REVOKE_S = 20.0  # what records in flight get when their partition moves
_IDLE_S = 0.02
_LAG_S = 1.0  # so often it is looked at
_TIMEOUT_S = 10.0


class Listener(Protocol):
    """The source, in its loop. All methods but the properties are called there."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched now. Read by the thread."""

    def full_partitions(self) -> Sequence[tuple[str, int]]:
        """Partitions that have been full while others are not. Called by the thread."""

    def assigned(self, partitions: Sequence[tuple[str, int, int]]) -> None:
        """Topic, partition, and the offset that is its end now."""

    def received(self, messages: list[Any], ends: Sequence[tuple[str, int, int]]) -> None:
        """Messages in order; partitions of which the end is reached, and its offset."""

    async def revoked(self, partitions: Sequence[tuple[str, int]], *, is_lost: bool) -> None:
        """They go elsewhere when this returns."""

    def failed(self, error: StreamprocError) -> None:
        """It is over."""


class KafkaThread(threading.Thread):
    """Started by the source; `submit` runs a function in it."""

    def __init__(
        self, settings: KafkaSourceSettings, listener: Listener, config: dict[str, Any]
    ) -> None:
        super().__init__(name="kafka", daemon=True)
        self._kafka = client.load()
        self._settings = settings
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._is_closing = False
        self._full_since: float | None = None
        self._paused: set[tuple[str, int]] = set()
        self.voice = client.voice(settings.brokers)
        self._config = client.settings(settings.brokers, config)
        code = self._kafka.KafkaError
        self._passing = {code._TRANSPORT, code._ALL_BROKERS_DOWN, code._TIMED_OUT, code._RESOLVE}
        self._is_subscribed = False
        self.partitions: dict[str, list[int]] = {}
        self._measured_s = 0.0
        self.lag: int | None = None  # messages that are there and not fetched
        self.consumer: Any = None
        self._assigned: dict[tuple[str, int], int] = {}
        self._owned: set[tuple[str, int]] = set()  # until records in flight have been waited for

    async def submit(self, function: Callable[[], Any]) -> Any:
        """The result of `function`, called in this thread. Raises what it raises."""
        done: asyncio.Future[Any] = self._loop.create_future()

        def job() -> None:
            try:
                result = function()
            except BaseException as error:
                self._post(_fail, done, error)
            else:
                self._post(_resolve, done, result)

        self._jobs.put(job)
        return await done

    def owns(self, partitions: set[tuple[str, int]]) -> bool:
        """In this thread: whether all of them are still ours."""
        return partitions <= self._owned

    def close(self) -> None:
        """End; the group hears of it."""
        self._jobs.put(self._stop)

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            self.consumer = self._kafka.Consumer(self._config)
            while not self._is_closing:
                self._turn()
            self.consumer.close()
        except self._kafka.KafkaException as error:
            self._fail(error.args[0])
        except StreamprocError as error:
            self._post(self._listener.failed, error)
        except BaseException as error:
            self._post(self._listener.failed, UnavailableError(f"kafka: {error!r}"))
        self._is_closing = True

    def _stop(self) -> None:
        self._is_closing = True

    def _post(self, function: Callable[..., Any], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    # What it does all day

    def _turn(self) -> None:
        while not self._jobs.empty():
            self._jobs.get()()
        if self._is_closing:
            return
        if self.voice.refusal is not None:
            self._fail(self.voice.refusal)
            self._is_closing = True
            return
        self.voice.listen(self.consumer)
        if not self._assigned and not self._is_subscribed:
            self._wait_for_job(_IDLE_S)
            return
        if self._listener.is_full:
            self._hold()
            return
        self._full_since = None
        self._measure_lag()
        self._pause_only(set(self._listener.full_partitions()))
        first = self.consumer.poll(_IDLE_S)
        if first is not None:
            self._deliver([first, *self.consumer.consume(MOST_MESSAGES, 0)])

    def _measure_lag(self) -> None:
        now = time.monotonic()
        if now < self._measured_s + _LAG_S:
            return
        self._measured_s = now
        lag = 0
        for place in self._assigned:
            partition = self._kafka.TopicPartition(*place)
            _, high = self.consumer.get_watermark_offsets(partition, cached=True)
            [position] = self.consumer.position([partition])
            lag += max(0, high - position.offset) if position.offset >= 0 else 0
        self.lag = lag

    def _hold(self) -> None:
        """Not to call `consume` is the backpressure; a pause throws away what was fetched."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < _PATIENCE_S:
            self._wait_for_job(0.002)
            return
        self._pause_only(set(self._assigned))
        message = self.consumer.poll(_IDLE_S)  # stay in the group
        if message is not None:
            self._deliver([message])

    def _wait_for_job(self, seconds: float) -> None:
        try:
            self._jobs.get(timeout=seconds)()
        except queue.Empty:
            return

    def _pause_only(self, wanted: set[tuple[str, int]]) -> None:
        if wanted == self._paused:
            return
        if new := (wanted - self._paused) & self._assigned.keys():
            self.consumer.pause([self._kafka.TopicPartition(*each) for each in new])
        if old := (self._paused - wanted) & self._assigned.keys():
            self.consumer.resume([self._kafka.TopicPartition(*each) for each in old])
        self._paused = wanted & self._assigned.keys()

    def _deliver(self, messages: list[Any]) -> None:
        good = []
        ends: list[tuple[str, int, int]] = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() == self._kafka.KafkaError._PARTITION_EOF:
                ends.append((message.topic(), message.partition(), message.offset()))
            elif error.code() == self._kafka.KafkaError._AUTO_OFFSET_RESET:
                place = message.topic(), message.partition()
                positions.after_gap(self.consumer, *place, stops=self._settings.on_gap == "stop")
            elif error.retriable() or (not error.fatal() and error.code() in self._passing):
                client.log.debug("kafka: %s", error.str())
            else:
                self._fail(error)
                self._is_closing = True
                return
        if good or ends:
            self._post(self._listener.received, good, ends)

    def _fail(self, error: Any) -> None:
        what = f"kafka://{self._settings.brokers}/{','.join(self._settings.topics)}"
        self._post(self._listener.failed, client.as_ours(error, what))

    # Where partitions begin

    def connect(self, timeout_s: float) -> None:
        """A broker answers, and the topics are there. Raises what is wrong."""
        for topic in self._settings.topics:
            try:
                found = self.consumer.list_topics(topic, timeout=timeout_s).topics[topic]
            except self._kafka.KafkaException as error:
                refusal = self.voice.refusal or error.args[0]
                raise client.as_ours(refusal, f"kafka://{self._settings.brokers}") from None
            if found.error is not None:
                raise client.as_ours(found.error, f"kafka://{self._settings.brokers}/{topic}")
            self.partitions[topic] = sorted(found.partitions)

    def begin(self) -> None:
        """Join the group, or take all partitions."""
        if self._settings.group is not None:
            self._is_subscribed = True
            self.consumer.subscribe(
                list(self._settings.topics),
                on_assign=self._on_assign,
                on_revoke=lambda _, which: self._on_revoke(which, is_lost=False),
                on_lost=lambda _, which: self._on_revoke(which, is_lost=True),
            )
            return
        whole = [
            self._kafka.TopicPartition(topic, partition)
            for topic, partitions in self.partitions.items()
            for partition in partitions
        ]
        self.consumer.assign(positions.placed(self.consumer, self._settings.from_, whole))
        self._tell_assigned(whole)

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        placed = positions.placed(
            consumer,
            self._settings.from_,
            partitions,
            consumer.committed(partitions, timeout=_TIMEOUT_S),
        )
        consumer.incremental_assign(placed)
        if partitions:  # librdkafka keeps the pause of an earlier assignment
            consumer.resume(partitions)
        self._tell_assigned(partitions)

    def _tell_assigned(self, partitions: list[Any]) -> None:
        told = []
        for each in partitions:
            _, end = self.consumer.get_watermark_offsets(each, timeout=_TIMEOUT_S)
            self._assigned[each.topic, each.partition] = end
            self._owned.add((each.topic, each.partition))
            told.append((each.topic, each.partition, end))
        self._post(self._listener.assigned, told)

    # Rebalances

    def _on_revoke(self, partitions: list[Any], *, is_lost: bool) -> None:
        which = [(each.topic, each.partition) for each in partitions]
        if is_lost:
            self._owned -= set(which)
        for each in which:
            self._assigned.pop(each, None)
        self._paused -= set(which)
        if not self._is_closing:
            drained = asyncio.run_coroutine_threadsafe(
                self._listener.revoked(which, is_lost=is_lost), self._loop
            )
            deadline = time.monotonic() + _REVOKE_S
            while not drained.done() and time.monotonic() < deadline:
                self._wait_for_job(0.005)
            if not drained.done():
                drained.cancel()
        self._owned -= set(which)
        if not is_lost:
            self.consumer.incremental_unassign(partitions)


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
