"""librdkafka's settings, its log lines in our log, and its errors as ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from streamproc.errors import (
    ConfigError,
    CreateError,
    InputError,
    StreamprocError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger("streamproc")

# Measured; what a user's `properties` say wins.
CONSUMER: dict[str, Any] = {
    "fetch.queue.backoff.ms": 10,  # the default stops fetching for 1 s when the queue is full
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 16_384,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "allow.auto.create.topics": False,
    "isolation.level": "read_committed",
}
CLASSIC: dict[str, Any] = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
}
PRODUCER: dict[str, Any] = {
    "queue.buffering.max.kbytes": 65_536,
    "linger.ms": 5,
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as in Java; librdkafka's own is CRC32
    "allow.auto.create.topics": False,
}
_ASK_S, _ANSWER_S = 1.0, 0.2


def load() -> Any:
    """The package, which is an extra. Raises `ConfigError`."""
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigError(
            "kafka:// needs confluent-kafka: pip install 'streamproc[kafka]'"
        ) from None
    return confluent_kafka


class Voice:
    """What librdkafka says: its log lines at debug, and one line when brokers go or are back.

    One for all clients of a list of brokers, each with its threads.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._is_down = False
        self._lock = threading.Lock()
        self._asked_s = 0.0
        self.refusal: KafkaError | None = None  # of our credentials

    def log(self, level: int, text: str, *arguments: Any) -> None:
        """As `logging.Logger.log`, which confluent_kafka calls."""
        log.debug(text, *arguments)

    def on_error(self, error: KafkaError) -> None:
        """`error_cb`."""
        from confluent_kafka import KafkaError as Code

        if error.code() in (Code._AUTHENTICATION, Code.SASL_AUTHENTICATION_FAILED):
            self.refusal = error
        elif error.code() == Code._ALL_BROKERS_DOWN:
            with self._lock:
                is_news, self._is_down = not self._is_down, True
            if is_news:
                log.warning(
                    "kafka: no broker of %s can be reached; waiting for them", self._brokers
                )
        else:
            log.debug("kafka: %s", error.str())

    def listen(self, client: Any) -> None:
        """While brokers are away, ask for one now and then: nobody tells when they are back."""
        if not self._is_down or time.monotonic() < self._asked_s + _ASK_S:
            return
        with self._lock:
            if not self._is_down:
                return
            try:
                client.list_topics(timeout=_ANSWER_S)
            except Exception as error:
                log.debug("kafka: %s", error)
                self._asked_s = time.monotonic()
                return
            self._is_down = False
        log.warning("kafka: brokers of %s are back", self._brokers)


def voice(brokers: str) -> Voice:
    """The one of these brokers, as long as somebody holds it."""
    found = _voices.get(brokers)
    if found is None:
        found = _voices[brokers] = Voice(brokers)
    return found


_voices: WeakValueDictionary[str, Voice] = WeakValueDictionary()


def settings(brokers: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """What every client is made with."""
    common = {
        "bootstrap.servers": brokers,
        "error_cb": voice(brokers).on_error,
        "logger": voice(brokers),
        "log_level": 3,  # what goes wrong; the rest would be thousands of lines in an outage
    }
    return common | dict(properties)


def as_ours(error: KafkaError, what: str, *, is_sink: bool = False) -> StreamprocError:
    """The error of ours that `error` means for a whole run; `what` names topic or brokers."""
    from confluent_kafka import KafkaError as Code

    code = error.code()
    if code in (
        Code._AUTHENTICATION,
        Code.SASL_AUTHENTICATION_FAILED,
        Code.TOPIC_AUTHORIZATION_FAILED,
        Code.GROUP_AUTHORIZATION_FAILED,
        Code.CLUSTER_AUTHORIZATION_FAILED,
        Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ):
        return UnauthorizedError(f"{what}: not authorised: {error.str()}")
    if code in (Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC, Code._UNKNOWN_PARTITION):
        if is_sink:
            return CreateError(f"{what}: no such topic; create it first, it is not created here")
        return InputError(f"{what}: no such topic")
    if code == Code.INCONSISTENT_GROUP_PROTOCOL:
        return UnavailableError(
            f"{what}: the group's other members use another assignment strategy (eager): stop "
            'them, or set properties = { "partition.assignment.strategy" = ... } as theirs'
        )
    return UnavailableError(f"{what}: {error.str()}")


def only_common(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that every kind of client takes: how to reach the brokers, and as whom."""
    prefixes = (
        "security.",
        "sasl.",
        "ssl.",
        "enable.ssl",
        "socket.",
        "broker.",
        "client.",
        "debug",
    )
    return {k: v for k, v in properties.items() if k.startswith(prefixes)}


def topic_facts(
    brokers: str, properties: Mapping[str, Any], topic: str, timeout_s: float
) -> tuple[int, int | None]:
    """An output topic's count of partitions and its `max.message.bytes`, None if we may not know.

    All topics are listed: to ask for one that is missing would create it. Raises
    `CreateError`, `UnauthorizedError`, `UnavailableError`.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

    name = f"kafka://{brokers}/{topic}"
    admin = AdminClient(settings(brokers, only_common(properties)))
    try:
        found = admin.list_topics(timeout=timeout_s).topics.get(topic)
    except KafkaException as error:
        raise as_ours(voice(brokers).refusal or error.args[0], name, is_sink=True) from None
    if found is None:
        raise as_ours(KafkaError(KafkaError._UNKNOWN_TOPIC), name, is_sink=True)
    if found.error is not None:
        raise as_ours(found.error, name, is_sink=True)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        [future] = admin.describe_configs([resource], request_timeout=5).values()
        return len(found.partitions), int(future.result()["max.message.bytes"].value)
    except (KafkaException, KeyError, ValueError) as error:
        log.debug("kafka: max.message.bytes of %s: %s", topic, error)
        return len(found.partitions), None
