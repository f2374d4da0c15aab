"""librdkafka's mock cluster, where there is no Java: without transactions, rights or faults.

https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

_PATIENCE_S = 30
PARTITIONS = 4  # of each topic: it has no say in that


class MockBroker:
    """As `broker.Broker`, as far as it goes."""

    def __enter__(self) -> Self:
        mock = {"bootstrap.servers": "is.set.by.the.mock", "test.mock.num.brokers": 1}
        self._cluster = Producer({**mock, "log_level": 0})  # it lives as long as this does
        brokers = self._cluster.list_topics(timeout=_PATIENCE_S).brokers.values()
        self.bootstrap = ",".join(f"{each.host}:{each.port}" for each in brokers)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del self.admin, self._cluster

    def create_topic(self, name: str, partitions: int = 1, config: Any = None) -> None:
        """It comes when it is asked for."""
        assert not config or isinstance(config, Mapping)
        found = self.admin.list_topics(name, timeout=_PATIENCE_S).topics[name].partitions
        assert len(found) == PARTITIONS >= partitions
