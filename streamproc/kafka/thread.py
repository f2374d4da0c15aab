"""The one thread that makes every call of the consumer.

librdkafka lets one caller in at a time, and blocks in its callbacks. The loop sends jobs;
while a rebalance waits for the loop to drain, jobs are done as well.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamproc.errors import StreamprocError, UnavailableError
from streamproc.kafka import client, codes, positions
from streamproc.kafka.assignment import Assignment
from streamproc.kafka.brokers import broker_monitor
from streamproc.kafka.commits import Commits
from streamproc.kafka.hearing import Hearing
from streamproc.kafka.host import Drained
from streamproc.kafka.jobs import Jobs
from streamproc.kafka.message import Message, Properties
from streamproc.kafka.settings import KafkaSourceSettings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

MOST_MESSAGES = 5_000  # of one call of `consume`
_PATIENCE_S = 0.5  # full for so long: pause, and go on polling
_IDLE_S = 0.02
_AGAIN_S = 0.1


class Listener(Protocol):
    """The source, in its loop. All methods but the properties are called there."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched now. Read by the thread."""

    def full_partitions(self) -> Sequence[tuple[str, int]]:
        """Partitions that have been full while others are not. Called by the thread."""

    def assigned(self, partitions: Sequence[tuple[str, int, int, int]]) -> None:
        """Topic, partition, the offset that is its end now, and the number of its lane."""

    def received(self, messages: list[Message], ends: Sequence[tuple[str, int, int]]) -> None:
        """Messages in order; partitions of which the end is reached, and its offset."""

    def leaving(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Nothing more will come of them."""

    async def drained(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Until what was begun of them is written."""

    def gone(self, partitions: Sequence[tuple[str, int]]) -> None:
        """They are somebody else's."""

    def failed(self, error: StreamprocError) -> None:
        """It is over."""


class KafkaThread(threading.Thread):
    """Started by the source; `submit` runs a function in it."""

    def __init__(
        self, settings: KafkaSourceSettings, listener: Listener, config: Properties
    ) -> None:
        super().__init__(name="kafka", daemon=True)
        self._kafka = client.load()
        self._settings = settings
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._jobs = Jobs()
        self.submit, self._post = self._jobs.submit, self._jobs.post
        self.is_closing = False
        self._failure: StreamprocError | None = None
        self._full_since: float | None = None
        self.broker_monitor = broker_monitor(settings.brokers)
        self._passing: tuple[str, ...] = (
            *codes.AWAY,
            *codes.COORDINATOR_MOVED,
            *codes.LEADER_MOVED,
            "_UNKNOWN_PARTITION",  # it is ours; a broker that has just begun does not know it yet
        )
        if settings.group is None:  # librdkafka looks for its coordinator even so
            self._passing += ("GROUP_AUTHORIZATION_FAILED",)
        self.commits = Commits(self)
        self._config = config | {"on_commit": self.commits.answered}
        self.consumer: Any = self._new_consumer()  # what it fetches are messages as in `message`
        self._hearing = Hearing(self._new_consumer, settings.topics[0])
        self.assignment = Assignment(self, settings)

    def _new_consumer(self) -> Consumer:
        kind: type[Consumer] = self._kafka.Consumer
        return client.create_client(kind, self._settings.brokers, self._config)

    def close(self) -> None:
        """End; the group hears of it."""
        self._jobs.put(self._stop)

    def run(self) -> None:
        """See `threading.Thread`."""
        is_clean = False  # confluent_kafka has errors that no `except` catches
        try:
            while not self.is_closing:
                self._turn()
            self.consumer.close()
            is_clean = True
        except self._kafka.KafkaException as error:
            self._failure = self._as_ours(error.args[0])
        except StreamprocError as error:
            self._failure = error
        except BaseException as error:
            self._failure = UnavailableError(f"kafka: {error!r}")
        finally:
            if not is_clean:
                self._failure = self._failure or UnavailableError("kafka: the thread has ended")
                self._post(self._listener.failed, self._failure)
            self.is_closing = True
            self.commits.give_up()
            over = UnavailableError("kafka: the connection is closed")
            self._jobs.end(self._failure or over)

    def _stop(self) -> None:
        self.is_closing = True

    # What it does all day

    def _turn(self) -> None:
        self._jobs.do()
        if self.is_closing:
            return
        if self.broker_monitor.refusal is not None:
            self.fail(self.broker_monitor.refusal)
            return
        self.broker_monitor.listen(self.consumer, self._settings.topics[0])
        if not self.assignment.has_begun:
            self._jobs.wait(_IDLE_S)
            return
        if self._listener.is_full:
            self._hold()
            return
        self._full_since = None
        self.assignment.look_around()
        self.assignment.pause_only(set(self._listener.full_partitions()))
        first = self.consumer.poll(_IDLE_S)
        self.assignment.count_if_due()
        if self.assignment.is_adrift:
            self._take_anew(first)
        elif first is not None:
            self._deliver([first, *self.consumer.consume(MOST_MESSAGES, 0)])
        elif (better := self._hearing.better_one(self.consumer)) is not None:
            self._begin_again(better)

    def _hold(self) -> None:
        """Not to call `consume` is the backpressure; a pause throws away what was fetched."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < _PATIENCE_S:
            self._jobs.wait(_IDLE_S)
            return
        self.assignment.pause_only()
        message = self.consumer.poll(_IDLE_S)  # stay in the group
        self.assignment.count_if_due()
        if self.assignment.is_adrift:
            self._take_anew(message)
        elif message is not None:
            self._deliver([message])

    def wait_for_job(self, seconds: float) -> None:
        """See `Host`."""
        self._jobs.wait(seconds)

    def _deliver(self, messages: list[Message]) -> None:
        self._hearing.heard()
        good = []
        ends: list[tuple[str, int, int]] = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() == self._kafka.KafkaError._PARTITION_EOF:
                ends.append((message.topic(), message.partition(), message.offset()))
            elif error.code() == self._kafka.KafkaError._AUTO_OFFSET_RESET:
                self.patiently(partial(self._after_gap, message))
            elif self.is_passing(error):
                client.log.debug("kafka: %s", error.str())
            elif codes.is_fence(error) and not self.assignment.has_twin():
                self._begin_again(self._new_consumer())
                return
            else:
                self.fail(error)
                return
        if good or ends:
            self._post(self._listener.received, good, ends)

    def _after_gap(self, message: Message) -> None:
        try:
            positions.after_gap(self.consumer, message, stops=self._settings.on_gap == "stop")
        except StreamprocError as gap:  # not raised: the run commits, we leave the group
            self._post(self._listener.failed, gap)

    def _take_anew(self, first: Message | None) -> None:
        """We do not agree with librdkafka on what is ours: nothing is, with another consumer."""
        told: Message | None = self.consumer.poll(_IDLE_S) if first is None else first
        error = None if told is None else told.error()
        if told is not None and error is not None and codes.is_fence(error):
            self._deliver([told])
        elif not self.is_closing:
            self._begin_again(self._new_consumer())

    def _begin_again(self, better: Consumer) -> None:
        """With another consumer: ours was fenced, or hears nothing, and is of no use any more."""
        client.log.debug("kafka: another consumer takes over")
        replaced, self.consumer = self.consumer, better
        self.assignment.begin_again(replaced)
        replaced.close()
        self.commits.give_up()

    def patiently(self, attempt: Callable[[], None], longest_s: float = math.inf) -> bool:
        """See `Host`."""
        end_s = time.monotonic() + longest_s
        while not self.is_closing and time.monotonic() < end_s:
            try:
                attempt()
            except self._kafka.KafkaException as raised:
                error = raised.args[0]
                if codes.is_one_of(error, ("_FATAL",)):
                    return False  # the next poll says of what kind
                if not self.is_passing(error):
                    self.fail(error)
                    return False
                client.log.debug("kafka: %s", error.str())
                self._jobs.wait(_AGAIN_S)
            else:
                return True
        return False

    def is_passing(self, error: KafkaError) -> bool:
        """Whether it goes when the broker is back, or another one leads."""
        return error.retriable() or (not error.fatal() and codes.is_one_of(error, self._passing))

    def tell_assigned(self, partitions: list[tuple[str, int, int, int]]) -> None:
        """See `Host`."""
        self._post(self._listener.assigned, partitions)

    def tell_leaving(self, partitions: list[tuple[str, int]]) -> None:
        """See `Host`."""
        self._post(self._listener.leaving, partitions)

    def drain(self, partitions: list[tuple[str, int]]) -> Drained:
        """See `Host`."""
        return asyncio.run_coroutine_threadsafe(self._listener.drained(partitions), self._loop)

    def tell_gone(self, partitions: list[tuple[str, int]]) -> None:
        """See `Host`."""
        self._post(self._listener.gone, partitions)

    def fail(self, error: KafkaError) -> None:
        """It is over: `error` is librdkafka's."""
        self._failure = self._as_ours(error)
        self._post(self._listener.failed, self._failure)
        self.is_closing = True

    def _as_ours(self, error: KafkaError) -> StreamprocError:
        what = f"kafka://{self._settings.brokers}/{','.join(self._settings.topics)}"
        return client.map_error(error, what, instance=self._settings.instance)
