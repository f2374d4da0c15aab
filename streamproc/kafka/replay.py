"""Dead letters of a topic → the messages that they were. Ends at the end of the topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from streamproc.codec import one_line, original_line
from streamproc.errors import DecodeError, OutputError, UnavailableError
from streamproc.kafka import client, positions
from streamproc.kafka.brokers import broker_monitor
from streamproc.kafka.letters import PREFIX, Letter, original_headers
from streamproc.kafka.message import Message
from streamproc.kafka.settings import KafkaSinkSettings, KafkaSourceSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, TopicPartition

_TIMEOUT_S, _POLL_S = 10.0, 0.1
_FLUSH_S = 300.0
_MESSAGES = 1000


class Replay:
    """Reads the letters of `source`. With a group it begins where that stands, and commits.

    Letters that have no original (it was too long to be kept) are told to `complain`.
    """

    def __init__(self, source: KafkaSourceSettings, complain: Callable[[str], None]) -> None:
        """Raises `ConfigError` without the package."""
        self._kafka = client.load()
        self._source = source
        self._complain = complain
        self._broker_monitor = broker_monitor(source.brokers)
        group = {"group.id": source.group or "streamproc-replay"}
        config = client.CONSUMER | group | dict(source.properties) | {"on_commit": self._on_commit}
        self._consumer = client.create_client(self._kafka.Consumer, source.brokers, config)
        self._done: dict[tuple[str, int], int] = {}
        self._answers: list[KafkaError | None] = []  # to what was committed
        self._at = ""  # the message that is looked at

    def to_topic(self, sink: KafkaSinkSettings) -> int:
        """Produce the originals with their keys and headers; returns how many."""
        _, limit = client.topic_facts(sink.brokers, sink.properties, sink.topic, _TIMEOUT_S)
        config = client.PRODUCER | dict(sink.properties)
        if limit is not None:
            config.setdefault("message.max.bytes", max(limit, 1000))
        producer = client.create_client(self._kafka.Producer, sink.brokers, config)
        refused: list[Any] = []
        count = 0
        for letter in self._letters(keep_sources=False):
            while True:
                try:
                    producer.produce(
                        sink.topic,
                        letter.value,
                        letter.key,
                        headers=letter.headers,
                        on_delivery=lambda error, _: refused.append(error) if error else None,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except self._kafka.KafkaException as error:  # too large, for one
                    refused.append(error.args[0])
                    break
            producer.poll(0)
            count += 1
        if producer.flush(_FLUSH_S) or refused:
            reason = refused[0].str() if refused else "the broker does not answer"
            raise OutputError(f"kafka://{sink.brokers}/{sink.topic}", reason)
        self._commit()
        return count

    def to_lines(self, out: IO[bytes], *, keep_sources: bool) -> int:
        """Write the originals as lines; returns how many."""
        count = 0
        for letter in self._letters(keep_sources=keep_sources):
            if not letter.value:
                continue
            try:
                out.write(one_line(letter.value) + b"\n")
            except DecodeError as error:
                self._complain(f"{self._at}: {error.message}; -o kafka://... takes it as it is")
                continue
            count += 1
        out.flush()
        self._commit()
        return count

    def _letters(self, *, keep_sources: bool) -> Iterator[Letter]:
        try:
            for message in self._messages():
                place = message.topic(), message.partition()
                self._done[place] = message.offset() + 1
                self._at = f"{place[0]}/{place[1]}/{message.offset()}"
                letter = self._letter(message, keep_sources=keep_sources)
                if letter is not None:
                    yield letter
        except self._kafka.KafkaException as error:
            refusal = self._broker_monitor.refusal or error.args[0]
            raise client.map_error(refusal, f"kafka://{self._source.brokers}") from None

    def _letter(self, message: Message, *, keep_sources: bool) -> Letter | None:
        headers = message.headers() or []
        if any(name.startswith(PREFIX) for name, _ in headers):
            return Letter(message.value(), message.key(), original_headers(headers))
        try:  # annotated output
            line = original_line(message.value() or b"", keep_sources=keep_sources)
        except DecodeError as error:
            self._complain(f"{self._at}: {error.message}")
            return None
        return None if line is None else Letter(line, message.key(), headers)

    def _messages(self) -> Iterator[Message]:
        consumer = self._consumer
        places = []
        for topic in self._source.topics:
            found = client.partitions_of(consumer, self._source.brokers, topic, _TIMEOUT_S)
            places += [self._kafka.TopicPartition(topic, each) for each in found]
        committed = consumer.committed(places, timeout=_TIMEOUT_S) if self._source.group else ()
        consumer.assign(positions.placed(consumer, self._source.from_, places, committed))
        open_places = {(each.topic, each.partition) for each in places}
        while open_places:
            for message in consumer.consume(_MESSAGES, 0.2):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == self._kafka.KafkaError._PARTITION_EOF:
                    open_places.discard((message.topic(), message.partition()))
                elif not error.retriable():
                    raise self._kafka.KafkaException(error)

    def _commit(self) -> None:
        """Once. A broker that is silent is not waited for in `close`, either."""
        if self._source.group is not None and self._done:
            offsets = [self._kafka.TopicPartition(*place, at) for place, at in self._done.items()]
            what = f"{self._source.group}: all is given back, and not committed"
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except self._kafka.KafkaException as error:
                raise client.map_error(error.args[0], what) from None
            end_s = time.monotonic() + _TIMEOUT_S
            while not self._answers:
                if time.monotonic() >= end_s:
                    raise UnavailableError(f"{what}: the broker does not answer")
                self._consumer.poll(_POLL_S)
            if self._answers[0] is not None:
                raise client.map_error(self._answers[0], what)
        self._consumer.close()

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        self._answers.append(error)
