"""What librdkafka's error codes have in common, by name: not every version has all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

REFUSALS = (
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
)
AWAY = (
    "_TIMED_OUT",
    "_TRANSPORT",
    "_ALL_BROKERS_DOWN",
    "_RESOLVE",
    "_WAIT_COORD",
    "_DESTROY_BROKER",  # the one that was asked is none of the cluster's any more, or not just now
)
COORDINATOR_MOVED = (
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "NOT_COORDINATOR",
)
LEADER_MOVED = (
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "REPLICA_NOT_AVAILABLE",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "OFFSET_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "REQUEST_TIMED_OUT",
)


def is_one_of(error: KafkaError, names: Iterable[str]) -> bool:
    """Whether its code has one of these names."""
    from confluent_kafka import KafkaError as Code

    return error.code() in {getattr(Code, each, None) for each in names}


def is_refusal(error: KafkaError) -> bool:
    """Whether it is for want of the right credentials, or of a right."""
    return is_one_of(error, REFUSALS)


def is_fence(error: KafkaError) -> bool:
    """Whether our name is somebody else's now, in whatever words it is said."""
    is_fatal = is_one_of(error, ("_FATAL",)) and "fenced" in error.str()
    return is_fatal or is_one_of(error, ("FENCED_INSTANCE_ID", "_FENCED"))
