"""One HTTP/1.1 connection: bytes in, whole answers out, one request at a time.

RFC 9112. The parser is llhttp (through httptools), the one that Node.js ships; it
refuses what makes requests smuggle. This file adds limits, and what a parser cannot know:
whether anybody asked, where a body without a length ends, when to use the connection again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from streamproc.errors import CallError
from streamproc.http.contract import (
    MAX_HEADER_BYTES,
    Request,
    Response,
    bad_answer,
    reset,
    too_large,
)
from streamproc.http.head import BODILESS, Head, announces_body, check_size
from streamproc.http.intake import Intake
from streamproc.http.known_heads import END, KnownHeads
from streamproc.memory import LARGE_BYTES

_SLICE_BYTES = 16 << 10  # how exactly the header limit is kept
_FRAMING_SHARE = 16  # chunk headers and extensions: at most so many bytes for one of the body


Answer = asyncio.Future[Response]


class ConnectionOwner(Protocol):
    """Who has the connection when nobody uses it."""

    def freed(self, connection: Connection) -> None:
        """It can be used again."""

    def lost(self, connection: Connection) -> None:
        """It is closed."""


class StaleError(Exception):
    """A kept connection was closed by the other side before a byte of the answer came."""


class Connection(asyncio.Protocol):
    """See the module. `ask`, then wait for the answer; `close` at any time."""

    __slots__ = (
        "_answer", "_body", "_body_bytes", "_feed", "_head", "_in_body", "_intake", "_keeper",
        "_known", "_max_body_bytes", "_more", "_parser", "_received_bytes", "_request", "_response",
        "_small_bytes", "_transport", "_until_close", "is_open", "uses",
    )  # fmt: skip

    def __init__(self, keeper: ConnectionOwner, max_body_bytes: int, known: KnownHeads) -> None:
        """`known`: of connections with the same `max_body_bytes`."""
        self._keeper = keeper
        self._known = known
        self._max_body_bytes = max_body_bytes
        self._small_bytes = min(max_body_bytes, LARGE_BYTES)
        self._request: Request | None = None
        self._intake: Intake | None = None
        self._transport: Any = None
        self._answer: Answer | None = None
        self._head = b""  # all that came until the headers were complete
        self._body = b""
        self._more: bytearray | None = None  # in one piece: chunks may have two bytes each
        self._body_bytes = 0
        self._received_bytes = 0
        self._in_body = False
        self._until_close = False
        self._response: Response | None = None
        self.is_open = False
        self.uses = 0
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = transport
        self.is_open = True

    def ask(self, request: Request, data: bytes, answer: Answer) -> None:
        """Send `request`, which is `data` on the wire, and give its answer to `answer`.

        Its exceptions are `CallError` and `StaleError`. What would take too long to decode
        here comes with its `encodings`.
        """
        self.uses += 1
        self._answer = answer
        self._request = request
        request.sent = True
        self._transport.write(data)

    @property
    def is_answering(self) -> bool:
        """Whether a part of the answer has come."""
        return self._received_bytes > 0

    def cancel(self, answer: Answer) -> None:
        """Nobody waits for `answer` any more: it would come too late for the next one."""
        if self._answer is answer:
            self.close()

    def close(self) -> None:
        """Never use it again."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()
            self._keeper.lost(self)

    # What the transport tells

    def data_received(self, data: bytes) -> None:
        """Some bytes: usually a whole answer."""
        answer = self._answer
        if answer is None:
            self.close()  # nobody asked: whoever asks next must not get this
            return
        if self._known and not self._received_bytes:
            end = data.find(END) + len(END)
            known = self._known.get(data[:end])
            if known is not None and len(data) == end + known.body_bytes:
                self._known.hits += 1
                self._hand_over(answer, Response(known.status, known.head, data[end:]))
                return
        self._received_bytes += len(data)
        try:
            if len(data) <= _SLICE_BYTES:
                if not self._in_body:
                    self._head += data
                self._feed(data)
            else:
                self._feed_slices(data)
        except httptools.HttpParserError as error:
            self._fail(bad_answer(f"not HTTP/1.1: {error}"), error.__context__)
        except CallError as error:
            self._fail(error, None)
        else:
            if self._response is not None:
                self._finish(self._response)
            elif self._received_bytes > MAX_HEADER_BYTES + self._body_bytes * _FRAMING_SHARE:
                self._fail(too_large("header", MAX_HEADER_BYTES), None)

    def _feed_slices(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            part = data[start : start + _SLICE_BYTES]
            if not self._in_body:
                self._head += part
            self._feed(part)
            if not self._in_body and len(self._head) > MAX_HEADER_BYTES:
                raise too_large("header", MAX_HEADER_BYTES)

    def connection_lost(self, error: Exception | None) -> None:
        """The other side closed it, or it broke."""
        answer = self._answer
        if answer is not None and not answer.done():
            self._end_early(answer, f": {error}" if error is not None else "")
        if self.is_open:
            self.is_open = False
            self._keeper.lost(self)

    def _end_early(self, answer: Answer, reason: str) -> None:
        self._answer = None
        if self._in_body and not reason and not announces_body(Head(self._head)):
            try:
                answer.set_result(self._made_response(self._parser.get_status_code()))
            except CallError as error:
                answer.set_exception(error)
        elif self._received_bytes:
            answer.set_exception(reset(f"the connection ended in the middle of the answer{reason}"))
        elif self.uses > 1:
            answer.set_exception(StaleError())
        else:
            answer.set_exception(reset(f"the connection ended before the answer{reason}"))

    # What the parser tells

    def on_message_begin(self) -> None:
        """An answer begins, or one too many."""
        if self._response is not None:
            raise bad_answer("two answers to one request")

    def on_headers_complete(self) -> None:
        """Whatever comes now is body."""
        self._in_body = True
        status = self._parser.get_status_code()
        if status < 100:  # or it would pass for an interim one, and its end be waited for
            raise bad_answer(f"not HTTP/1.1: {status:03} is no status")
        if len(self._head) > MAX_HEADER_BYTES and status >= 200:
            check_size(Head(self._head))  # a part of the body may be in it

    def on_body(self, data: bytes) -> None:
        """A part of the body, mostly all of it."""
        self._body_bytes += len(data)
        if self._body_bytes > self._small_bytes:
            self._take_in_large()
        if not self._body:
            self._body = data
        elif self._more is None:
            self._more = bytearray(data)
        else:
            self._more += data

    def _take_in_large(self) -> None:
        if self._body_bytes > self._max_body_bytes:
            raise too_large("body", self._max_body_bytes)
        request = self._request
        if self._intake is None and request is not None and (share := request.share) is not None:
            status = self._parser.get_status_code()
            self._intake = Intake(share, request, status, self._transport)
        if self._intake is not None:
            self._intake.hold(self._body_bytes)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was only an interim one (1xx)."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._response = self._made_response(status)
            # both known in this callback; a body that must not come would be the next one's answer
            self._until_close = not self._parser.should_keep_alive() or (
                status in BODILESS and announces_body(Head(self._head))
            )
        elif status == 101:
            raise bad_answer("it switched protocols, which nobody asked for")
        else:
            self._in_body = False

    # How an answer ends

    def _made_response(self, status: int) -> Response:
        body, self._body = self._body, b""
        if self._more is not None:
            body, self._more = body + self._more, None
        data = self._head
        if len(data) == self._received_bytes:  # it came at once: without the body it is shorter
            data = data[: len(data) - self._body_bytes]
        head = Head(data)
        if head.may_have(b"content-encoding"):
            return self._inflated(status, head, body)
        return Response(status, head, body)

    def _inflated(self, status: int, head: Head, body: bytes) -> Response:
        """The answer, still with its `encodings` if that has to wait, or would take too long."""
        from streamproc.http.content import ManyStreamsError, inflate

        encodings = head.listed(b"content-encoding")
        share = self._request.share if self._request is not None else None
        if share is not None and not share.has_room:
            return Response(status, head, body, encodings)
        try:
            inflated = inflate(body, encodings, self._max_body_bytes)
        except ManyStreamsError:
            return Response(status, head, body, encodings)
        if share is not None and len(inflated) > LARGE_BYTES:
            share.hold(len(inflated))
        return Response(status, head, inflated)

    def _finish(self, response: Response) -> None:
        answer = self._answer
        assert answer is not None
        if not self._until_close and len(self._head) == self._received_bytes:  # it came at once
            self._known.learn(response.status, self._head, self._body_bytes)
        self._response = None
        self._body_bytes = self._received_bytes = 0
        if self._intake is not None:
            self._intake.end()
            self._intake = None
        self._in_body = False
        self._head = b""
        self._hand_over(answer, response)

    def _hand_over(self, answer: Answer, response: Response) -> None:
        """The connection is free, unless it is to be closed, before anybody hears of the answer."""
        self._answer = self._request = None
        if self._until_close or self._transport.get_write_buffer_size():
            self.close()  # an answer before the request was all sent: the rest would follow
        elif self.is_open:
            self._keeper.freed(self)
        if not answer.done():
            answer.set_result(response)

    def _fail(self, error: CallError, cause: BaseException | None) -> None:
        """What came is no good, unless the answer was whole before it came."""
        if self._response is not None:
            self._until_close = True
            self._finish(self._response)
            return
        answer, self._answer = self._answer, None
        assert answer is not None
        self.close()
        if not answer.done():
            answer.set_exception(cause if isinstance(cause, CallError) else error)
