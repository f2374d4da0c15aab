"""When brokers are away, and when only one of our clients has not found them again yet."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamproc.kafka import brokers
from streamproc.kafka.brokers import BrokerMonitor

pytestmark = pytest.mark.mock_will_do
AWAY, SLOW = KafkaError._TRANSPORT, KafkaError._TIMED_OUT


class Client:
    """Asked for metadata, it fails with `code`, or has an answer."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def list_topics(self, *_: Any, **__: Any) -> None:
        if self.code is not None:
            raise KafkaException(KafkaError(self.code))


class Source(Client):
    """As a consumer asks."""


class Sink(Client):
    """As a producer does."""


class Watched:
    """Both ask, the source first or last; what is told of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(brokers, "_ASK_S", 0.0)
        self.told: list[bool] = []
        self.monitor = BrokerMonitor("b")
        self.monitor.report_to(lambda _, are_there: self.told.append(are_there))

    def ask(self, *clients: Any) -> list[bool]:
        """Somebody saw no broker; each one asks twice."""
        self.monitor.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        for _ in range(2):
            for each in clients:
                self.monitor.listen(each, "t")
        return self.told


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def test_they_go_and_come_back(watched: Watched) -> None:
    """Each is told once, though one client finds them later than the other."""
    source, sink = Source(AWAY), Sink(AWAY)
    assert watched.ask(source, sink) == [False]
    source.code = None
    assert watched.ask(sink, source) == [False, True]
    assert watched.monitor.outages == 1


def test_one_client_alone(watched: Watched) -> None:
    """It has nobody to ask but itself."""
    assert watched.ask(Sink(AWAY)) == [False]


def test_a_client_that_waits_to_look_again_is_no_outage(watched: Watched) -> None:
    """The other one is answered; who of the two is asked first makes no difference."""
    source, sink = Source(), Sink(AWAY)
    watched.monitor.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    watched.monitor._asked_s = float("inf")  # asked just now: both are only heard of
    watched.monitor.listen(source, "t")
    watched.monitor.listen(sink, "t")
    watched.monitor._asked_s = 0.0
    assert watched.ask(sink, source) == []
    assert not watched.monitor.is_doubted


def test_brokers_that_are_slow_are_there(watched: Watched) -> None:
    """A connection that is open is no outage: it is asked again."""
    sink = Sink(SLOW)
    assert watched.ask(sink) == []
    assert watched.monitor.is_doubted
    sink.code = AWAY
    assert watched.ask(sink) == [False]
