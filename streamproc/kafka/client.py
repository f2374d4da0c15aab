"""librdkafka's settings, its log lines in our log, and its errors as ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from streamproc.errors import (
    ConfigError,
    CreateError,
    FencedError,
    InputError,
    StreamprocError,
    UnauthorizedError,
    UnavailableError,
)
from streamproc.kafka.brokers import broker_monitor
from streamproc.kafka.codes import is_fence, is_refusal
from streamproc.kafka.message import Properties
from streamproc.kafka.settings import is_secret
from streamproc.secrets import hide

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

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
_FIRST_S = 0.5  # of the tries to look a topic up; each next one may take twice as long
_PAUSE_S = 0.1
_OVERHEAD_BYTES = 1000  # of a batch of messages, at most

T = TypeVar("T")


def load() -> ModuleType:
    """The package, which is an extra. Raises `ConfigError`."""
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigError(
            "kafka:// needs confluent-kafka: pip install 'streamproc[kafka]'"
        ) from None
    return confluent_kafka


def settings(brokers: str, properties: Mapping[str, object]) -> Properties:
    """What every client is made with."""
    common = {
        "bootstrap.servers": brokers,
        "error_cb": broker_monitor(brokers).on_error,
        "logger": broker_monitor(brokers),
        "log_level": 3,  # what goes wrong; the rest would be thousands of lines in an outage
    }
    for name, value in properties.items():
        if is_secret(name):
            hide(str(value))
    return common | dict(properties)


def sizes(limits: Sequence[int]) -> Properties:
    """What a producer sends to topics that take messages of so many bytes at most."""
    batch_bytes = max(1, min(1_000_000, min(limits) - _OVERHEAD_BYTES))
    return {"message.max.bytes": max(*limits, 1000), "batch.size": batch_bytes}


def create_client(kind: Callable[[Properties], T], brokers: str, config: Mapping[str, object]) -> T:
    """A client of librdkafka's. Raises `ConfigError` for what it does not know."""
    from confluent_kafka import KafkaException

    try:
        return kind(settings(brokers, config))
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0]
        raise ConfigError(
            f"kafka://{brokers}: properties: {getattr(reason, 'str', lambda: reason)()}"
        ) from None


def partitions_of(
    consumer: Consumer, brokers: str, topic: str, timeout_s: float, *, is_sink: bool = False
) -> list[int]:
    """Of a topic, which is not created by that. Raises what is wrong.

    To ask waits for an answer, and hears of a wrong password only between two questions.
    """
    from confluent_kafka import KafkaError, KafkaException

    name = f"kafka://{brokers}/{topic}"
    deadline, try_s = time.monotonic() + timeout_s, _FIRST_S
    while True:
        left_s = deadline - time.monotonic()
        try:
            found = consumer.list_topics(topic, timeout=max(0.01, min(try_s, left_s)))
        except KafkaException as raised:
            consumer.poll(0)
            refusal = broker_monitor(brokers).refusal
            if refusal is not None or left_s <= try_s:
                raise map_error(refusal or raised.args[0], name, is_sink=is_sink) from None
            try_s *= 2
            continue
        error = found.topics[topic].error
        if error is None:
            return sorted(found.topics[topic].partitions)
        if error.code() != KafkaError.LEADER_NOT_AVAILABLE or left_s <= _FIRST_S:
            raise map_error(error, name, is_sink=is_sink)
        time.sleep(_PAUSE_S)  # the broker has just started


def map_error(
    error: KafkaError, what: str, *, is_sink: bool = False, instance: str | None = None
) -> StreamprocError:
    """The error of ours that `error` means for a whole run; `what` names topic or brokers."""
    from confluent_kafka import KafkaError as Code

    code = error.code()
    if is_fence(error):
        whose = f"the name {instance}" if instance else "our name"
        return FencedError(f"{what}: another instance has taken over {whose}: {error.str()}")
    if is_refusal(error):
        return UnauthorizedError(f"{what}: not authorised: {error.str()}")
    if code in (Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC):
        if is_sink:
            return CreateError(f"{what}: no such topic; create it first, it is not created here")
        return InputError(f"{what}: no such topic")
    if code == Code.INCONSISTENT_GROUP_PROTOCOL:
        return UnavailableError(
            f"{what}: the group's other members use another assignment strategy (eager): stop "
            "them, or let all have partition.assignment.strategy=cooperative-sticky"
        )
    return UnavailableError(f"{what}: {error.str()}")


def only_common(properties: Mapping[str, object]) -> Properties:
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


def number(properties: Properties, name: str, default: int) -> int:
    """A property that is a number; what is none is for librdkafka to complain of."""
    try:
        return int(properties.get(name, default))
    except (TypeError, ValueError):
        return default


def topic_facts(
    brokers: str, properties: Mapping[str, object], topic: str, timeout_s: float
) -> tuple[int, int | None]:
    """An output topic's count of partitions and its `max.message.bytes`, None if we may not know.

    A consumer looks it up: another client that asks for one that is missing creates it.
    Raises `ConfigError`, `CreateError`, `UnauthorizedError`, `UnavailableError`.
    """
    from confluent_kafka import Consumer, KafkaException
    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs export but one
        AdminClient,
        ConfigResource,
    )

    common = only_common(properties)
    config = {"group.id": "streamproc", "allow.auto.create.topics": False}
    consumer = create_client(Consumer, brokers, config | common)
    try:
        count = len(partitions_of(consumer, brokers, topic, timeout_s, is_sink=True))
    finally:
        consumer.close()
    admin = AdminClient(settings(brokers, common))
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        [future] = admin.describe_configs([resource], request_timeout=5).values()
        return count, int(future.result()["max.message.bytes"].value)
    except (KafkaException, KeyError, ValueError) as error:
        log.debug("kafka: max.message.bytes of %s: %s", topic, error)
        return count, None
