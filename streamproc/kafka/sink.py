"""`kafka://` as a sink: an idempotent producer; its delivery reports are the acknowledgement."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec import structs

from streamproc.errors import CreateError, StreamprocError, UnavailableError
from streamproc.interfaces import SinkScope
from streamproc.kafka import client
from streamproc.kafka.brokers import broker_monitor
from streamproc.kafka.exactly_once import KafkaCall, Then, row_of
from streamproc.kafka.message import Headers, Message, Properties
from streamproc.kafka.outgoing import (
    Group,
    Outgoing,
    Spans,
    headers_within,
    key_of,
    last_word,
    letter_of,
    messages,
    size_of,
)
from streamproc.kafka.output_topic import OutputTopic
from streamproc.kafka.reports import Reports
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.record import Batch, Cursor, Failed, dead_letters

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_SHORT_S, _MAX_WAIT_S, _OVERHEAD_BYTES = 0.002, 300.0, 1000  # the last of a batch, at most


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
        self._own_producer: Any = None
        self._lender: KafkaSink | None = None

    @property
    def producer(self) -> Any:  # a Producer
        """Its own, or that of the sink whose letters these are."""
        return self._own_producer if self._lender is None else self._lender.producer

    def borrow_from(self, sink: KafkaSink) -> None:
        """These letters go out by the producer of `sink`, in its transactions."""
        self._lender = sink

    async def __aenter__(self) -> Self:
        self._kafka = client.load()
        self._broker_monitor = broker_monitor(self.settings.brokers)
        asked = self._broker_monitor if self._asks_for_brokers else None
        self._reports = Reports(lambda: self.producer, asked, self.settings.topic)
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
        config = client.PRODUCER | self._config | dict(self.settings.properties)
        limits = [self.topic.max_bytes]
        if self._letters is not None and self._letters._lender is not None:
            limits.append(self._letters.topic.max_bytes)
        config.setdefault("message.max.bytes", max(*limits, 1000))
        config.setdefault("batch.size", max(1, min(1_000_000, min(limits) - _OVERHEAD_BYTES)))
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
            elif (instead := self._instead(message, text)) is not None:
                await self._send_one(group, instead)
            return
        more: dict[str, Any] = {}
        if headers:
            more["headers"] = headers
        if origin is not None and origin.timestamp()[0]:  # else it is not available
            more["timestamp"] = origin.timestamp()[1]
        group.sending()
        until_s: float | None = None
        while True:
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
                error, now = raised.args[0], asyncio.get_running_loop().time()
                until_s = until_s or now + _MAX_WAIT_S
                then = row_of(KafkaCall.PRODUCE, error).then
                if then is Then.STOP:
                    raise self._as_ours(error) from None
                if then is Then.ASK and now < until_s:
                    more.pop("partition", None)
                    await self.topic.learn(self.producer)
                    continue
                group.reported(error, message)
            self.written_bytes += len(value or b"")
            return

    # What comes back

    def _completed(self, group: Group) -> None:
        """Everything of it is reported."""
        self._groups.discard(group)
        if not group.refused:
            self._accept(group)
            return
        task = asyncio.get_running_loop().create_task(self._retry(group))
        task.add_done_callback(lambda done: done.exception())

    def _accept(self, group: Group) -> None:
        if not group.receipt.done():
            group.receipt.set_result(None)

    async def _retry(self, group: Group) -> None:
        """A refused message took its neighbours with it: each once more, alone."""
        refused, group.refused = group.refused, []
        try:
            async with self._alone:
                while self._groups:  # noqa: ASYNC110 - reports come from a thread
                    await asyncio.sleep(_SHORT_S)
                for each in refused:
                    await self._settle(*each)
            self._accept(group)
        except StreamprocError as raised:
            if not group.receipt.done():
                group.receipt.set_exception(raised)

    async def _settle(self, message: Outgoing, error: KafkaError | str) -> None:
        """Once more, without others; what is refused again fails."""
        until_s = asyncio.get_running_loop().time() + _MAX_WAIT_S
        was_alone = isinstance(error, str)
        while True:
            reason = self._reason(error)
            if not isinstance(error, str) and row_of(KafkaCall.REPORT, error).then is Then.ASK:
                if asyncio.get_running_loop().time() > until_s:
                    raise UnavailableError(f"{self.name}: {reason}")
                sink = self._sink_of(message)
                await sink.topic.learn(sink.producer)
            elif was_alone:
                return await self._fail(message, reason)
            else:
                was_alone = True
            alone = await self._send_alone(message)
            if not alone.refused:
                return None
            error = alone.refused[0][1]

    async def _send_alone(self, message: Outgoing) -> Group:
        alone = Group([], lambda each: each.receipt.set_result(None))
        await KafkaSink._send_one(self, alone, message)
        alone.seal()
        await alone.receipt
        return alone

    def _as_ours(self, error: KafkaError) -> StreamprocError:
        return client.map_error(error, self.name, is_sink=True)

    def _reason(self, error: KafkaError | str) -> str:
        """Why a record is refused. Raises what is not the record's fault."""
        if isinstance(error, str):
            return error
        if row_of(KafkaCall.REPORT, error).then not in (Then.SETTLE, Then.ASK):
            raise self._as_ours(self._broker_monitor.refusal or self._reports.fatal or error)
        return error.str()

    async def _fail(self, message: Outgoing, reason: str) -> None:
        """The record fails, and what goes out instead goes alone."""
        instead = self._instead(message, reason)
        if instead is not None and (await self._send_alone(instead)).refused:
            raise self._unheard(instead, reason)

    def _sink_of(self, message: Outgoing) -> KafkaSink:
        return self if message.letter is None or self._letters is None else self._letters

    def _unheard(self, message: Outgoing, reason: str) -> CreateError:
        at, name = message.batch.cursor, self._sink_of(message).name
        where = f"{at.file}/{at.line + message.i}"
        return CreateError(f"{name}: not even the error of {where} is taken: {reason}")

    def _instead(self, message: Outgoing, reason: str) -> Outgoing | None:
        """A dead letter, or an error that is short enough."""
        if message.is_last_word:
            raise self._unheard(message, reason)
        batch, i = message.batch, message.i
        failed = Failed("sink", "sink", f"refused: {reason}", 1)
        note = self._refuse(failed, batch, i)
        batch.notes[i] = structs.replace(note, context=message.context)
        return last_word(batch, i, failed, letters=self._letters is not None)
