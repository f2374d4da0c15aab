"""What aiohttp has to be told about connections, to keep the promises of `contract`.

Its parser stays, and its pool. Added here: a limit for all headers together, answers that
nobody asked for, how far a request got, and addresses that are checked before they are used.

Not all of it is public there, and nothing public is a way round (tests/contracts would fail):
- `ResponseHandler`, its `_payload`: bytes that nobody asked for would be the next request's answer,
  as would a body after a 204; headers, trailers and interim answers could go on for ever.
- `TCPConnector._factory`, `_create_connection`: that is where one gets in, and one timeout for all.
- `ClientRequest.send`, `update_body_from_data`: a body is cancelled at once, and costs no task.
- `ClientSession._retry_connection`: off, or a call is made twice that its policies count once.

Imported when an `AiohttpClient` is entered: `import aiohttp` takes 0.3 s.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from streamproc.errors import CallError
from streamproc.http.addresses import Resolver
from streamproc.http.contract import (
    CONNECT_TIMEOUT_S,
    MAX_HEADER_BYTES,
    Request,
    Target,
    bad_answer,
    reset,
    too_large,
)
from streamproc.http.head import BODILESS, announces_body, check_size
from streamproc.interfaces import RecheckError, Standing

MAX_HEADERS = MAX_HEADER_BYTES // 4  # the shortest takes four bytes
_WITHOUT_BODY = ("GET", "DELETE", "HEAD")
_FRAMING_SHARE = 16  # chunk headers and trailers: at most so many bytes for one of the body


class Attempt:
    """One attempt of a request, and how far it got."""

    __slots__ = ("_postponed", "is_fresh", "may_be", "protocol", "request")

    def __init__(
        self, request: Request, may_be: frozenset[str] | None, *, is_fresh: bool = False
    ) -> None:
        self.request = request
        self.may_be = may_be  # see `Resolver.resolve`
        self.is_fresh = is_fresh  # only a connection that nobody has used will do
        self.protocol: Protocol | None = None
        self._postponed: Standing | None = None

    def postpone(self) -> None:
        """A connection has to be opened: until it is there others may start."""
        standing = self.request.standing
        if standing is not None and standing.gate is not None and not self.request.sent:
            standing.gate.postpone(standing)
            self._postponed = standing

    def may_write(self) -> bool:
        """Whether the request may be written now that there is a connection."""
        standing = self._postponed
        return standing is None or standing.gate is None or standing.gate.may_write(standing)

    @property
    def is_stale(self) -> bool:
        """Whether it met a kept connection that was closed before a byte of the answer came."""
        protocol = self.protocol
        return protocol is not None and protocol.uses > 1 and not protocol.received_bytes


ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")
"""Whose connection is taken, opened and written to. aiohttp hands nothing through."""


class Protocol(ResponseHandler):
    """A connection."""

    uses = 0
    received_bytes = 0  # since the request
    has_begun_answer = False  # with a status of 200 or more

    def is_connected(self) -> bool:
        """Asked by the pool, when a connection is wanted."""
        attempt = ATTEMPT.get(None)
        return super().is_connected() and (attempt is None or not attempt.is_fresh)

    @property
    def should_close(self) -> bool:
        """Asked by the pool, when the answer is whole. The rest of a request would follow."""
        # before that it may be the end of a handshake
        sends = self.uses and self.transport and self.transport.get_write_buffer_size()
        return super().should_close or bool(sends)

    def close(self) -> None:
        """Close it now: neither a body that nobody reads nor a TLS good-bye is waited for."""
        self.abort()

    def set_response_params(self, **params: Any) -> None:  # whatever aiohttp's takes
        """A request is about to be sent."""
        self.received_bytes = 0
        self.has_begun_answer = False
        self.uses += 1
        if "auto_decompress" in params:  # else it is CONNECT, for a proxy
            attempt = ATTEMPT.get()
            attempt.protocol = self
            attempt.request.sent = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Some bytes; none when reading goes on after a pause."""
        if data:
            if not self.uses or (self.has_begun_answer and not self._is_unfinished()):
                if self.transport is not None:  # nobody asked: whoever asks next must not get it
                    self.transport.abort()
                return
            self.received_bytes += len(data)
        super().data_received(data)
        if self.received_bytes > MAX_HEADER_BYTES:
            self._check_framing()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called after every read. Without a pause before it there is nothing to do: saves 5%."""
        if self._reading_paused or getattr(self, "_buffer_paused", False):  # since 3.14.4
            super().resume_reading(resume_parser)

    def feed_data(self, data: Any, size: int = 0) -> None:  # a message, and its payload
        """The head of an answer is parsed, maybe of an interim one."""
        message, _ = data
        if message.code >= 200:
            self.has_begun_answer = True
            if message.code in BODILESS and announces_body(message.raw_headers):
                self.force_close()  # a body that must not come would be the next one's answer
            if self.received_bytes > MAX_HEADER_BYTES:
                try:
                    check_size(message.raw_headers)
                except CallError as error:
                    self._fail(error)
                    return
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: Any) -> None:  # one, or none
        """It ends with an error."""
        if isinstance(exc, HttpProcessingError):
            converted = _not_http(exc, cause[0] if cause else None)
            self._fail(converted)
        elif not isinstance(self.exception(), CallError):  # the first says more
            super().set_exception(exc, *cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The other side closed it (no `exc`), or it broke: no way to end a body."""
        if exc is not None and self._is_unfinished():
            self._fail_body(reset(f"the connection ended in the middle of the answer: {exc}"))
        super().connection_lost(exc)

    def _is_unfinished(self) -> bool:
        return self._payload is not None and not self._payload.is_eof()

    def _check_framing(self) -> None:
        if not self.has_begun_answer:
            self._fail(too_large("header", MAX_HEADER_BYTES))
        elif self._payload is not None and not self._payload.is_eof():
            body_bytes = self._payload.total_bytes
            if self.received_bytes > MAX_HEADER_BYTES + body_bytes * _FRAMING_SHARE:
                self._fail(too_large("header", MAX_HEADER_BYTES))

    def _fail(self, error: CallError) -> None:
        self._fail_body(error)
        super().set_exception(error)
        if self.transport is not None:
            self.transport.abort()

    def _fail_body(self, error: CallError) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(error)


def _not_http(error: HttpProcessingError, cause: BaseException | None) -> CallError:
    if isinstance(cause, LineTooLong) or "Too many headers" in error.message:
        converted = too_large("header", MAX_HEADER_BYTES)
    else:
        reason = error.message.partition("\n")[0].rstrip(" :")
        converted = bad_answer(f"not HTTP/1.1: {reason}")
    converted.__cause__ = cause or error
    return converted


class AttemptConnector(TCPConnector):
    """The pool. One connect timeout for all there is to do: name, addresses, proxy and TLS."""

    def __init__(self, **options: Any) -> None:  # those of `TCPConnector`
        super().__init__(**options)
        self._factory: Any = partial(Protocol, loop=asyncio.get_running_loop())

    async def connect(
        self, req: ClientRequest, traces: Any, timeout: ClientTimeout
    ) -> Connection:  # the traces are only handed on
        """A connection for a request that may be written now. Raises `RecheckError`."""
        connection = await super().connect(req, traces, timeout)
        if not ATTEMPT.get().may_write():
            connection.release()
            raise RecheckError
        return connection

    async def _create_connection(
        self, req: ClientRequest, traces: Any, timeout: ClientTimeout
    ) -> ResponseHandler:  # as above
        ATTEMPT.get().postpone()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await super()._create_connection(req, traces, timeout)


class OurRequest(ClientRequest):
    """Sends the headers that it is given, and the body without a task for it."""

    DEFAULT_HEADERS = {}  # noqa: RUF012 - aiohttp's
    POST_METHODS = set()  # noqa: RUF012 - those that would get a Content-Type

    def update_body_from_data(self, body: object, _stacklevel: int = 3) -> None:
        """Only its length, here."""
        length = len(ATTEMPT.get().request.body)
        if length or self.method not in _WITHOUT_BODY:
            self.headers["Content-Length"] = str(length)

    async def send(self, conn: Any) -> Any:  # `Connection` and `ClientResponse`: not exported
        """Send it all; what the socket does not take yet is kept by the transport."""
        response = await super().send(conn)
        body = ATTEMPT.get().request.body
        if body:
            conn.transport.write(body)
        return response


class CheckedResolver(AbstractResolver):
    """`addresses.Resolver` for aiohttp."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Raises `CallError`."""
        attempt = ATTEMPT.get()
        target = Target("http", host, port, attempt.request.target.is_from_record)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": family,
                "proto": 0,
                "flags": 0,
            }
            for family, address in await self._resolver.resolve(target, attempt.may_be)
        ]

    async def close(self) -> None:
        """There is nothing to close."""
