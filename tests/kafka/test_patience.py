"""What the Kafka thread asks again, because it passes, and what ends the run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from broker import PATIENCE_S
from confluent_kafka import KafkaError, KafkaException

from streamproc.errors import StreamprocError, UnauthorizedError
from streamproc.kafka.settings import KafkaSourceSettings
from streamproc.kafka.thread import KafkaThread

pytestmark = pytest.mark.mock_will_do
SETTINGS = KafkaSourceSettings(brokers="127.0.0.1:1", topics=("in",), group="g")
NOBODY_ANSWERS = KafkaError._TIMED_OUT


def asked(code: int, longest_s: float = PATIENCE_S) -> tuple[bool, int, list[StreamprocError]]:
    """An attempt fails so, the next one does not: whether it is done, attempts, what is said."""
    said: list[StreamprocError] = []
    attempts: list[int] = []

    def attempt() -> None:
        attempts.append(code)
        if len(attempts) == 1:
            raise KafkaException(KafkaError(code))

    async def main() -> bool:
        listener: Any = SimpleNamespace(failed=said.append)
        thread = KafkaThread(SETTINGS, listener, {"group.id": "g"})
        is_done = thread.patiently(attempt, longest_s)
        await asyncio.sleep(0)
        thread.consumer.close()
        return is_done

    return asyncio.run(main()), len(attempts), said


@pytest.mark.parametrize(
    "code",
    [
        NOBODY_ANSWERS,
        KafkaError._DESTROY_BROKER,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    ],
)
def test_brokers_that_have_just_begun_are_asked_again(code: int) -> None:
    """Right after an outage they do not know yet who leads and who coordinates."""
    assert asked(code) == (True, 2, [])


def test_it_is_given_up_after_a_while() -> None:
    """In a callback that must return: the run goes on."""
    assert asked(NOBODY_ANSWERS, 0.0) == (False, 0, [])


def test_what_does_not_pass_ends_the_run() -> None:
    """And is said."""
    is_done, attempts, said = asked(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert (is_done, attempts) == (False, 1)
    assert [type(each) for each in said] == [UnauthorizedError]


def test_a_consumer_that_was_fenced_is_not_asked_again() -> None:
    """Nor is it the end: the next poll says what it is about."""
    assert asked(KafkaError._FATAL) == (False, 1, [])
