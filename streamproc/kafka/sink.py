"""`kafka://` as a sink: an idempotent producer; its delivery reports are the acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from streamproc.errors import CreateError, StreamprocError
from streamproc.kafka import client
from streamproc.kafka.outgoing import (
    Group,
    Outgoing,
    Spans,
    key_of,
    last_word,
    letter_of,
    messages,
    size_of,
)
from streamproc.kafka.reports import Reports
from streamproc.kafka.settings import KafkaSinkSettings
from streamproc.record import Batch, Cursor, Failed, Note, dead_letters

_DEFAULT_MAX_BYTES = 1_048_588
_SHORT_S = 0.002


class KafkaSink:
    """Key, headers and timestamp go with the record; a full local queue is backpressure."""

    takes_messages = True
    place: tuple[int, int] | None = None

    def __init__(
        self,
        settings: KafkaSinkSettings,
        *,
        connect_timeout_s: float = 10.0,
        max_wait_s: float = 300.0,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.name = f"kafka://{settings.brokers}/{settings.topic}"
        self.letters: KafkaSink | None = None  # where dead letters go, if to a topic: maybe here
        self.written_bytes = 0
        self._connect_timeout_s = connect_timeout_s
        self._max_wait_s = max_wait_s
        # set by who joins it with a source and a run: the count of an input topic's
        # partitions, and what becomes of a record that is refused
        self.partitions_of: Callable[[str], int] = lambda topic: 0
        self.refuse: Callable[[Failed, Batch, int], Note] | None = None
        self._config = config or {}
        self._count = 0  # partitions
        self._max_bytes = _DEFAULT_MAX_BYTES
        self._groups: set[Group] = set()
        self._alone = asyncio.Lock()  # nothing else is produced while something is tried alone
        self._key = settings.key
        self.is_shared = False  # the producer is that of the sink whose letters these are
        self.producer: Any = None

    async def __aenter__(self) -> Self:
        self._kafka = client.load()
        code = self._kafka.KafkaError
        self._faults = {code.MSG_SIZE_TOO_LARGE, code.INVALID_RECORD, code.INVALID_MSG}
        self._voice = client.voice(self.settings.brokers)
        self._reports = Reports(lambda: self.producer, self._voice, self.settings.topic)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._connect)
        if not self.is_shared:
            self.producer = self._new_producer()
            self._reports.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._reports.stop()

    def _new_producer(self) -> Any:
        config = client.PRODUCER | self._config | dict(self.settings.properties)
        config.setdefault("message.max.bytes", max(self._max_bytes, 1000))
        config.setdefault("batch.size", max(1, min(1_000_000, self._max_bytes - 1000)))
        if "transactional.id" not in config:  # else it is the transaction's
            config.setdefault("message.timeout.ms", int(self._max_wait_s * 1000))
        return client.made(self._kafka.Producer, self.settings.brokers, config)

    async def write(self, data: bytes) -> None:
        """Lines of dead letters, of records that are in no output. Raises `StreamprocError`."""
        lines = data.split(b"\n")[:-1]
        batch = Batch(0, Cursor("", 0, 0), lines, len(data))
        await self._bury([letter_of(batch, i, line) for i, line in enumerate(lines)])

    async def bury(self, spans: Spans) -> None:
        """The dead letters among them, where the output is no topic. Raises `StreamprocError`."""
        await self._bury([letter_of(*each) for each in dead_letters(spans)])

    async def _bury(self, letters: list[Outgoing]) -> None:
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
            for message in messages(batch, start, stop, self.letters is not None):
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
            assert self.letters is not None
            letter = message.letter
            place = self.letters._partition(origin, letter.key)
            await self.letters._produce(group, *letter, origin, place, message)
            return
        key = headers = None
        if origin is not None:
            key, headers = origin.key(), origin.headers()
        value = message.value or b""
        is_same_key = self._key is None or not value.strip()  # what deletes a key, keeps it
        if self._key is not None and not is_same_key:
            key = key_of(self._key, value)
        place = self._partition(origin, key, is_same_key=is_same_key)
        await self._produce(group, message.value, key, headers, origin, place, message)

    def _partition(self, origin: Any, key: bytes | None, *, is_same_key: bool = True) -> int | None:
        """Where it goes, None for the partitioner of all clients."""
        if origin is None or self.settings.partition == "key":
            return None
        if self.settings.partition == "same" or key is None:
            return int(origin.partition()) % self._count
        if is_same_key and self.partitions_of(origin.topic()) == self._count:
            return int(origin.partition())
        return None

    async def _produce(
        self,
        group: Group,
        value: bytes | None,
        key: bytes | None,
        headers: Any,
        origin: Any,
        partition: int | None,
        message: Outgoing,
    ) -> None:
        size = size_of(value, key, headers)
        if size > self._max_bytes:
            text = f"{size} bytes, the topic {self.settings.topic} takes {self._max_bytes}"
            if message.is_last_word:
                group.refused.append((message, text))
            elif (instead := self._instead(message, text)) is not None:
                await self._send_one(group, instead)
            return
        more: dict[str, Any] = {}
        if headers:
            more["headers"] = headers
        if partition is not None:
            more["partition"] = partition
        if origin is not None and origin.timestamp()[0]:  # else it is not available
            more["timestamp"] = origin.timestamp()[1]
        group.sending()
        report = group.reported
        while True:
            try:
                self.producer.produce(
                    self.settings.topic,
                    value,
                    key,
                    on_delivery=lambda error, _: report(error, message),
                    **more,
                )
            except BufferError:
                await asyncio.sleep(_SHORT_S)
                continue
            except self._kafka.KafkaException as error:
                group.reported(error.args[0], message)
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
                for message, error in refused:
                    reason = self._reason(error)
                    if not isinstance(error, str):
                        alone = await self._send_alone(message)
                        if not alone.refused:
                            continue
                        reason = self._reason(alone.refused[0][1])
                    await self._fail(message, reason)
            self._accept(group)
        except StreamprocError as raised:
            if not group.receipt.done():
                group.receipt.set_exception(raised)

    async def _send_alone(self, message: Outgoing) -> Group:
        alone = Group([], lambda each: each.receipt.set_result(None))
        await KafkaSink._send_one(self, alone, message)
        alone.seal()
        await alone.receipt
        return alone

    def _as_ours(self, error: Any) -> StreamprocError:
        return client.as_ours(error, self.name, is_sink=True)

    def _reason(self, error: Any) -> str:
        """Why a record is refused. Raises what is not the record's fault."""
        if isinstance(error, str):
            return error
        if error.code() not in self._faults:
            why = self._voice.refusal or self._reports.fatal or error
            raise self._as_ours(why)
        return str(error.str())

    async def _fail(self, message: Outgoing, reason: str) -> None:
        """The record fails, and what goes out instead goes alone."""
        instead = self._instead(message, reason)
        if instead is not None and (await self._send_alone(instead)).refused:
            raise self._unheard(instead, reason)

    def _unheard(self, message: Outgoing, reason: str) -> CreateError:
        where = f"{message.batch.cursor.file}/{message.batch.cursor.line + message.i}"
        name = self.name if message.letter is None or self.letters is None else self.letters.name
        return CreateError(f"{name}: not even the error of {where} is taken: {reason}")

    def _instead(self, message: Outgoing, reason: str) -> Outgoing | None:
        """A dead letter, or an error that is short enough."""
        if message.is_last_word:
            raise self._unheard(message, reason)
        batch, i = message.batch, message.i
        failed = Failed("sink", "sink", f"refused: {reason}", 1)
        note = self.refuse(failed, batch, i) if self.refuse is not None else Note("failed")
        batch.notes[i] = note
        return last_word(batch, i, failed, letters=self.letters is not None)

    # In a thread of its own, before all else

    def _connect(self) -> None:
        settings = self.settings
        self._count, limit = client.topic_facts(
            settings.brokers,
            settings.properties,
            settings.topic,
            self._connect_timeout_s,
        )
        self._max_bytes = limit or _DEFAULT_MAX_BYTES
