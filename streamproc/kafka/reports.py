"""Delivery reports, called back in the loop: a thread would fight with it for the GIL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamproc.kafka import client
from streamproc.kafka.brokers import BrokerMonitor

if TYPE_CHECKING:
    from confluent_kafka import Producer

_LOOK_S, _IDLE_S = 0.005, 0.02  # so often, while any report is to come or not
_FLUSH_S = 2.0


class Reports:
    """Of the producer that `producer` returns; it may be another one later."""

    def __init__(
        self,
        producer: Callable[[], Producer],
        broker_monitor: BrokerMonitor | None,
        topic: str,
    ) -> None:
        """`broker_monitor`: None when somebody else asks whether there are brokers."""
        self._producer = producer
        self._broker_monitor = broker_monitor
        self._topic = topic
        self._kafka = client.load()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Future[None] | None = None
        self.fatal: Any = None  # why the producer is of no use any more

    def start(self) -> None:
        """Look for reports from now on."""
        self._call(self._producer().poll, 0)
        loop = asyncio.get_running_loop()
        broker_monitor = self._broker_monitor
        if (
            broker_monitor
            and broker_monitor.is_doubted
            and (self._asking is None or self._asking.done())
        ):
            self._asking = loop.run_in_executor(
                None, broker_monitor.listen, self._producer(), self._topic
            )
        self._timer = loop.call_later(_LOOK_S if len(self._producer()) else _IDLE_S, self.start)

    async def stop(self) -> None:
        """Wait for the last ones."""
        if self._timer is not None:
            self._timer.cancel()
            await self.flush(_FLUSH_S)
        if self._asking is not None:
            await asyncio.wait({self._asking})

    async def flush(self, seconds: float) -> None:
        """Until all is reported, as long as that."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._call, self._producer().flush, seconds)

    def _call(self, function: Callable[[float], int], seconds: float) -> None:
        try:
            function(seconds)
        except self._kafka.KafkaException as error:  # messages will be reported as purged
            self.fatal = error.args[0]
            client.log.debug("kafka: %s", self.fatal.str())
