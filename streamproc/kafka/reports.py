"""Delivery reports, called back in the loop: a thread would fight with it for the GIL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamproc.kafka import client
from streamproc.kafka.brokers import BrokerMonitor
from streamproc.kafka.hearing import Hearing

if TYPE_CHECKING:
    from confluent_kafka import Producer

_LOOK_S, _IDLE_S = 0.005, 0.02  # so often, while any report is to come or not
_FLUSH_S, _RETIRE_S = 2.0, 5.0


class Producing(Protocol):
    """The sink."""

    @property
    def producer(self) -> Producer:
        """It may be another one later."""

    @property
    def is_waiting(self) -> bool:
        """Whether that has to hear of something."""


class Reports:
    """Of the producer of `sink`."""

    def __init__(
        self,
        sink: Producing,
        broker_monitor: BrokerMonitor | None,
        hearing: Hearing[Producer],
        replace: Callable[[Producer], None],
    ) -> None:
        """`broker_monitor`: None when somebody else asks whether there are brokers.

        `replace` is called with a better producer where brokers answer only that one.
        """
        self._sink = sink
        self._broker_monitor = broker_monitor
        self._hearing = hearing
        self._replace = replace
        self._kafka = client.load()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Future[None] | None = None
        self.fatal: Any = None  # why the producer is of no use any more

    def start(self) -> None:
        """Look for reports from now on."""
        producer = self._sink.producer
        self._call(producer.poll, 0)
        waiting = self._sink.is_waiting
        if not waiting:
            self.heard()
        self._ask(producer)
        self._timer = self._loop.call_later(_LOOK_S if waiting else _IDLE_S, self.start)

    def heard(self) -> None:
        """There was a report, or nothing is to come: the producer is not deaf."""
        self._hearing.heard()

    def _ask(self, producer: Producer) -> None:
        """Whether there are brokers, and whether it is only we who hear of none."""
        monitor = self._broker_monitor
        if monitor is None or not (self._asking is None or self._asking.done()):
            return
        if self._hearing.is_due:
            question = partial(self._replace_if_deaf, producer)
        elif monitor.is_doubted:
            question = partial(monitor.listen, producer, self._hearing.topic)
        else:
            return
        self._asking = self._loop.run_in_executor(None, question)

    def _replace_if_deaf(self, producer: Producer) -> None:
        if (better := self._hearing.better_one(producer)) is not None:
            self._loop.call_soon_threadsafe(self._replace, better)

    async def stop(self) -> None:
        """Wait for the last ones."""
        if self._timer is not None:
            self._timer.cancel()
            await self.flush(_FLUSH_S)
        if self._asking is not None:
            await asyncio.wait({self._asking})

    async def flush(self, seconds: float) -> None:
        """Until all is reported, as long as that."""
        await self._loop.run_in_executor(None, self._call, self._sink.producer.flush, seconds)

    def _call(self, function: Callable[[float], int], seconds: float) -> None:
        try:
            function(seconds)
        except self._kafka.KafkaException as error:  # messages will be reported as purged
            self.fatal = error.args[0]
            client.log.debug("kafka: %s", self.fatal.str())


def retire(producer: Producer) -> None:
    """What it still has is reported as purged; all in a thread, which also frees it.

    Neither of it may end.
    """

    def purge() -> None:
        producer.purge()
        producer.flush(_RETIRE_S)

    threading.Thread(target=purge, daemon=True).start()
