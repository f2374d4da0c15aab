"""`kafka://` as a sink: an idempotent producer; its delivery reports are the acknowledgement."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec import structs

from streamproc.errors import CreateError, StreamprocError
from streamproc.interfaces import SinkScope
from streamproc.kafka import client
from streamproc.kafka.brokers import broker_monitor
from streamproc.kafka.exactly_once import KafkaCall, Then, row_of
from streamproc.kafka.hearing import Hearing
from streamproc.kafka.message import Headers, Message, Properties
from streamproc.kafka.outgoing import (
    Group,
    Outgoing,
    Refused,
    Spans,
    headers_within,
    key_of,
    last_word,
    letter_of,
    messages,
    size_of,
)
from streamproc.kafka.output_topic import Asking, OutputTopic
from streamproc.kafka.reports import Reports, retire
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.kafka.unsettled import Unsettled
from streamproc.record import Batch, Cursor, Failed, dead_letters

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

_SHORT_S, _MAX_WAIT_S = 0.002, 300.0


class KafkaSink:
    """Key, headers and timestamp go with the record; a full local queue is backpressure."""

    takes_messages = _asks_for_brokers = True
    blocked_s, written_bytes = 0.0, 0
    place: tuple[int, int] | None = None

    def __init__(
        self, settings: KafkaSinkSettings, scope: SinkScope, config: Properties | None = None
    ) -> None:
        self.settings = settings
        self.name = f"kafka://{settings.brokers}/{settings.topic}"
        letters = self if scope.takes_dead_letters else scope.dead_letters
        self._letters = letters if isinstance(letters, KafkaSink) else None  # else no topic
        self.topic = OutputTopic(settings, scope.connect_timeout_s, scope.source)
        self._refuse = scope.refuse
        self._config = config or {}
        self._groups: set[Group] = set()
        self._alone = asyncio.Lock()  # nothing else is produced while something is tried alone
        self._unsettled = Unsettled(self, _MAX_WAIT_S)
        self._settling: asyncio.Task[None] | None = None
        self._is_deferring = False  # the producer was replaced: nothing overtakes what it had
        self._asking = Asking(_MAX_WAIT_S)
        self._own_producer: Any = None
        self._lender: KafkaSink | None = None

    @property
    def producer(self) -> Any:  # a Producer
        """Its own, or that of the sink whose letters these are."""
        return self._own_producer if self._lender is None else self._lender.producer

    def borrow_from(self, sink: KafkaSink) -> None:
        """These letters go out by the producer of `sink`, in its transactions."""
        self._lender, self._asking = sink, sink._asking

    async def __aenter__(self) -> Self:
        self._kafka = client.load()
        self._broker_monitor = broker_monitor(self.settings.brokers)
        monitor = self._broker_monitor if self._asks_for_brokers else None
        hearing = Hearing(self._new_producer, self.settings.topic)
        self._reports = Reports(self, monitor, hearing, self._go_on_with)
        await self.topic.connect()
        if self._lender is None:
            self._own_producer = self._new_producer()
            self._reports.start()
        self._watching = asyncio.create_task(self.topic.watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watching.cancel()
        await self._reports.stop()

    def _new_producer(self) -> Any:  # a Producer
        limits = [self.topic.max_bytes]
        if self._letters is not None and self._letters._lender is not None:
            limits.append(self._letters.topic.max_bytes)
        config = client.PRODUCER | client.sizes(limits) | self._config | self.settings.properties
        if "transactional.id" not in config:  # else it is the transaction's
            config.setdefault("message.timeout.ms", int(_MAX_WAIT_S * 1000))
        return client.create_client(self._kafka.Producer, self.settings.brokers, config)

    async def write(self, data: bytes) -> None:
        """Lines of dead letters, of records that are in no output. Raises `StreamprocError`."""
        lines = data.split(b"\n")[:-1]
        batch = Batch(0, Cursor("", 0, 0), lines, len(data))
        await self._send_and_wait([letter_of(batch, i, line) for i, line in enumerate(lines)])

    async def send_dead_letters(self, spans: Spans) -> None:
        """The dead letters among them, where the output is no topic. Raises `StreamprocError`."""
        await self._send_and_wait([letter_of(*each) for each in dead_letters(spans)])

    async def _send_and_wait(self, letters: list[Outgoing]) -> None:
        group = self._begin([])
        for each in letters:
            await self._send_one(group, each)
        group.seal()
        await group.receipt

    async def send(self, spans: Spans) -> asyncio.Future[None]:
        """Hand all of it to the producer; the receipt is done when it is acknowledged."""
        async with self._alone:
            if self._is_deferring or self._unsettled:
                await self._settle_all()
            group = self._begin(spans)
            await self._produce_all(group)
        return group.receipt

    async def _produce_all(self, group: Group) -> None:
        for batch, start, stop in group.spans:
            for message in messages(batch, start, stop, self._letters is not None):
                await self._send_one(group, message)
        group.seal()

    async def flush(self) -> None:
        """Nothing: the producer does not wait for more than a few ms."""

    def _begin(self, spans: Spans) -> Group:
        group = Group(spans, self._completed)
        self._groups.add(group)
        return group

    async def _send_one(self, group: Group, message: Outgoing) -> None:
        origin = message.batch.messages[message.i] if message.batch.messages else None
        if message.letter is not None:
            assert self._letters is not None
            await self._letters._produce(group, *message.letter, origin, message, is_same_key=True)
            return
        key, headers = (None, None) if origin is None else (origin.key(), origin.headers())
        template, value = self.settings.key, message.value or b""
        is_same_key = template is None or not value.strip()  # what deletes a key, keeps it
        if template is not None and not is_same_key:
            key = key_of(template, value)
        await self._produce(
            group, message.value, key, headers, origin, message, is_same_key=is_same_key
        )

    async def _produce(
        self,
        group: Group,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        origin: Message | None,
        message: Outgoing,
        *,
        is_same_key: bool,
    ) -> None:
        headers = headers_within(message.context, headers)
        size = size_of(value, key, headers)
        if size > self.topic.max_bytes:
            text = f"{size} bytes, the topic {self.settings.topic} takes {self.topic.max_bytes}"
            if message.is_last_word:
                group.refused.append((message, text))
            elif (instead := self.instead(message, text)) is not None:
                await self._send_one(group, instead)
            return
        more: dict[str, Any] = {}
        if headers:
            more["headers"] = headers
        if origin is not None and origin.timestamp()[0]:  # else it is not available
            more["timestamp"] = origin.timestamp()[1]
        group.sending(message)
        has_asked = False
        while True:
            if self._is_deferring and group in self._groups:
                group.reported(self._kafka.KafkaError(self._kafka.KafkaError._PURGE_QUEUE), message)
                return
            place = self.topic.place(origin, key, is_same_key=is_same_key)
            if place is not None:
                more["partition"] = place
            try:
                self.producer.produce(
                    self.settings.topic,
                    value,
                    key,
                    on_delivery=lambda error, _: group.reported(error, message),
                    **more,
                )
            except BufferError:
                await asyncio.sleep(_SHORT_S)
                continue
            except self._kafka.KafkaException as raised:
                error = raised.args[0]
                then = row_of(KafkaCall.PRODUCE, error).then
                if then is Then.STOP:
                    raise self._as_ours(error) from None
                if then is Then.ASK and self._asking.goes_on():
                    has_asked = True
                    more.pop("partition", None)
                    await self.topic.learn(self.producer)
                    continue
                group.reported(error, message)
            else:
                if has_asked:
                    self._asking.end()
            self.written_bytes += len(value or b"")
            return

    @property
    def is_waiting(self) -> bool:
        """Whether its producer has to hear of something: a report, or its topic."""
        return len(self.producer) > 0 or self._asking.is_on

    # What comes back

    def _completed(self, group: Group) -> None:
        """Everything of it is reported."""
        self._reports.heard()
        self._groups.discard(group)
        if not group.refused:
            self.accept(group)
            return
        self._unsettled.add(group)
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle())

    def accept(self, group: Group) -> None:
        """All of it is acknowledged."""
        if not group.receipt.done():
            group.receipt.set_result(None)

    async def _settle(self) -> None:
        async with self._alone:
            await self._settle_all()

    async def _settle_all(self) -> None:
        while self._groups:  # noqa: ASYNC110 - reports come from a thread
            await asyncio.sleep(_SHORT_S)
        self._is_deferring = False
        self._asking.end()
        await self._unsettled.settle()

    def _go_on_with(self, better: Producer) -> None:
        """By one that brokers answer: what the other one still has is reported, and sent again."""
        client.log.debug("kafka: another producer takes over")
        replaced, self._own_producer = self._own_producer, better
        self._is_deferring = True
        retire(replaced)

    async def send_apart(self, messages: list[Outgoing]) -> list[Refused]:
        """Without what comes after them: those that are refused, and why."""
        apart = Group([], lambda each: each.receipt.set_result(None))
        for each in messages:
            await KafkaSink._send_one(self, apart, each)
        apart.seal()
        await apart.receipt
        return apart.refused

    def failure(self, error: KafkaError) -> StreamprocError:
        """What ends the run, of which `error` is a consequence."""
        return self._as_ours(self._broker_monitor.refusal or self._reports.fatal or error)

    def _as_ours(self, error: KafkaError) -> StreamprocError:
        return client.map_error(error, self.name, is_sink=True)

    def sink_of(self, message: Outgoing) -> KafkaSink:
        """The one whose topic it goes to."""
        return self if message.letter is None or self._letters is None else self._letters

    def unheard(self, message: Outgoing, reason: str) -> CreateError:
        """Nothing is left that could be sent instead."""
        at, name = message.batch.cursor, self.sink_of(message).name
        where = f"{at.file}/{at.line + message.i}"
        return CreateError(f"{name}: not even the error of {where} is taken: {reason}")

    def instead(self, message: Outgoing, reason: str) -> Outgoing | None:
        """A dead letter, or an error that is short enough."""
        if message.is_last_word:
            raise self.unheard(message, reason)
        batch, i = message.batch, message.i
        failed = Failed("sink", "sink", f"refused: {reason}", 1)
        note = self._refuse(failed, batch, i)
        batch.notes[i] = structs.replace(note, context=message.context)
        return last_word(batch, i, failed, letters=self._letters is not None)
