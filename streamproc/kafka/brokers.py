"""Whether there are brokers: one line, and one call, when all of them go and when they are back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from streamproc.kafka.codes import is_one_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

log = logging.getLogger("streamproc")

_ASK_S, _ANSWER_S = 1.0, 1.0


class BrokerMonitor:
    """What librdkafka says: its log lines at debug, and one line when brokers go or are back.

    One for all clients of a list of brokers, each with its threads.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._on_change: Callable[[str, bool], None] = lambda brokers, are_there: None
        self.is_doubted = self._is_down = False
        self.outages = 0  # so often all of them were away
        self._lock = threading.Lock()
        self._asked_s = 0.0
        # since it is doubted: who asks, and who was not answered
        self._askers: set[tuple[type, str]] = set()
        self._unanswered: set[tuple[type, str]] = set()
        self.refusal: KafkaError | None = None  # of our credentials

    def report_to(self, on_change: Callable[[str, bool], None]) -> None:
        """Whom to tell, from any thread, that none of them is there, or one is again."""
        self._on_change = on_change

    def log(self, level: int, text: str, *arguments: object) -> None:
        """As `logging.Logger.log`, which confluent_kafka calls."""
        log.debug(text, *arguments)

    def on_error(self, error: KafkaError) -> None:
        """`error_cb`."""
        from confluent_kafka import KafkaError as Code

        if error.code() in (Code._AUTHENTICATION, Code.SASL_AUTHENTICATION_FAILED):
            self.refusal = error
        elif error.code() == Code._ALL_BROKERS_DOWN:
            self.is_doubted = True
        else:
            log.debug("kafka: %s", error.str())

    def listen(self, client: Consumer | Producer, topic: str) -> None:
        """Ask for a broker now and then, once one of the clients saw none.

        Each client says so in its own time, and none says that they are back. Nor is each back
        when brokers are: it looks for them again up to `reconnect.backoff.max.ms` later. So they
        are away when none of the clients that ask has an answer; one that has a connection and no
        answer in time proves nothing.
        """
        if not self.is_doubted:
            return
        asker = type(client), topic
        self._askers.add(asker)
        if time.monotonic() < self._asked_s + _ASK_S:
            return
        with self._lock:
            if not self.is_doubted:
                return
            try:
                client.list_topics(topic, timeout=_ANSWER_S)
            except Exception as error:
                log.debug("kafka: %s", error)
                if _has_connection(error):
                    self._unanswered.discard(asker)
                else:
                    self._unanswered.add(asker)
                if self._unanswered >= self._askers:
                    self._are_away()
            else:
                self._are_there()
            self._asked_s = time.monotonic()

    def _are_away(self) -> None:
        if self._is_down:
            return
        self._is_down = True
        self.outages += 1
        if self.refusal is None:
            log.warning("kafka: no broker of %s can be reached; waiting for them", self._brokers)
            self._on_change(self._brokers, False)

    def _are_there(self) -> None:
        if self._is_down:
            log.warning("kafka: brokers of %s are back", self._brokers)
            self._on_change(self._brokers, True)
        self._is_down = self.is_doubted = False
        self._askers.clear()
        self._unanswered.clear()


def _has_connection(error: Exception) -> bool:
    """Whether a broker was asked, and was only too slow."""
    from confluent_kafka import KafkaException

    return isinstance(error, KafkaException) and is_one_of(error.args[0], ("_TIMED_OUT",))


def broker_monitor(brokers: str) -> BrokerMonitor:
    """The one of these brokers, as long as somebody holds it."""
    found = _monitors.get(brokers)
    if found is None:
        found = _monitors[brokers] = BrokerMonitor(brokers)
    return found


_monitors: WeakValueDictionary[str, BrokerMonitor] = WeakValueDictionary()
