"""What is on its way to a topic: messages, and groups of them that are acknowledged together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from streamproc.codec import decode, encode
from streamproc.errors import RecordError
from streamproc.http.template import Template
from streamproc.kafka.letters import Letter, as_letter
from streamproc.kafka.message import Headers
from streamproc.paths import value_of
from streamproc.record import BLANK, Batch, Failed
from streamproc.secrets import redact

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_OVERHEAD_BYTES = 96  # of a record in its batch, besides key, value and headers
_CONTEXT = ("traceparent", "tracestate")  # of the W3C: in messages they are lower case

Spans = Sequence[tuple[Batch, int, int]]
_numbers = count()


class Outgoing:
    """One message to be, and where it came from."""

    __slots__ = ("batch", "i", "is_last_word", "letter", "number", "value")

    def __init__(self, batch: Batch, i: int, value: bytes | None, letter: Letter | None) -> None:
        self.batch = batch
        self.i = i
        self.value = value
        self.letter = letter
        self.number = 0  # in its group, in the order in which they are sent
        self.is_last_word = letter is not None  # nothing goes in its place

    @property
    def context(self) -> bytes:
        """See `Note`."""
        note = self.batch.notes.get(self.i)
        return b"" if note is None else note.context


Refused = tuple[Outgoing, "KafkaError | str"]


class Group:
    """What was sent together. Counted in two threads, each with a count of its own."""

    def __init__(self, spans: Spans, on_done: Callable[[Group], None]) -> None:
        self.spans = spans
        self.number = next(_numbers)  # in the order in which they are sent
        self.receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: list[Refused] = []
        self._on_done = on_done
        self._sent = 0
        self._reported = 0
        self._is_sealed = False
        self._loop = asyncio.get_running_loop()

    @property
    def errors(self) -> list[tuple[Outgoing, KafkaError]]:
        """What librdkafka refused, without what was not given to it for its size."""
        return [(each, why) for each, why in self.refused if not isinstance(why, str)]

    def sending(self, message: Outgoing) -> None:
        """One more message is on its way."""
        self._sent += 1
        message.number = self._sent

    def seal(self) -> None:
        """That was all."""
        self._is_sealed = True
        if self._reported == self._sent:
            self._on_done(self)

    def reported(self, error: KafkaError | None, message: Outgoing) -> None:
        """One is delivered, or refused. In the loop, or in a thread that flushes."""
        if error is not None:
            self.refused.append((message, error))
        self._reported += 1
        if self._is_sealed and self._reported == self._sent:
            self._loop.call_soon_threadsafe(self._on_done, self)


def messages(batch: Batch, start: int, stop: int, letters: bool) -> list[Outgoing]:
    """What finished lines turn into; `letters`: dead letters are messages, too."""
    out = []
    for i in range(start, stop):
        line = batch.results[i]
        note = batch.notes.get(i) if batch.notes else None
        if note is None:
            out.append(Outgoing(batch, i, line, None))
        elif note.status == BLANK:
            if batch.messages is not None:  # it means something: that the key is deleted
                out.append(Outgoing(batch, i, batch.messages[i].value(), None))
        elif note.dead_letter is not None:
            if letters:
                out.append(letter_of(batch, i, note.dead_letter))
        elif line:
            lines = line.split(b"\n") if note.lines_out > 1 else [line]
            out += [Outgoing(batch, i, each, None) for each in lines]
    return out


def letter_of(batch: Batch, i: int, line: bytes) -> Outgoing:
    """The dead letter of line i; `line` is what a file of dead letters would get."""
    origin = batch.messages[i] if batch.messages else None
    return Outgoing(batch, i, None, as_letter(line, origin))


def last_word(batch: Batch, i: int, failed: Failed, *, letters: bool) -> Outgoing | None:
    """What goes out for a record that is refused, and noted: a letter, or a short error."""
    note = batch.notes[i]
    if note.dead_letter is not None and letters:
        return letter_of(batch, i, note.dead_letter)
    if not note.line:
        return None
    where = {"file": batch.cursor.file, "line": batch.cursor.line + i}
    message = redact(failed.message)
    error = {"stage": failed.stage, "kind": failed.kind, "message": message} | where
    word = Outgoing(batch, i, encode({"_error": error}), None)
    word.is_last_word = True
    return word


def headers_within(context: bytes, headers: Headers | None) -> Headers | None:
    """`headers` of the message that a record came in, and the trace it is part of, if of one."""
    if not context:
        return headers
    own = [line.partition(b": ") for line in context.splitlines()]
    kept = [pair for pair in headers or () if pair[0] not in _CONTEXT]
    return [*kept, *((name.decode(), value) for name, _, value in own)]


def size_of(value: bytes | None, key: bytes | None, headers: Headers | None) -> int:
    """What a message takes of its topic's limit, at most."""
    size = len(value or b"") + len(key or b"") + _OVERHEAD_BYTES
    return size + sum(len(k) + len(v or b"") + 4 for k, v in headers or ())


def key_of(template: Template, value: bytes) -> bytes | None:
    """What `template` makes of a record, None if a field is missing there.

    One field alone may be of any type: what is no text is written as JSON.
    """
    try:
        fields = decode(value)
        if template.field is None:
            return template.fill(fields).encode("utf-8", "surrogatepass")
        found = value_of(fields, template.field)
    except RecordError:
        return None
    if isinstance(found, str):
        return found.encode("utf-8", "surrogatepass")
    return None if found is None else encode(found)
