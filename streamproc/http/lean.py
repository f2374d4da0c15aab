"""The fast client: HTTP/1.1 keep-alive on asyncio protocols, nothing that a call does not need.

No proxies, no redirects: for these there is the aiohttp client. One request at a time on a
connection: pipelining would tie records to each other's fate.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from types import TracebackType
from typing import Self

from streamproc.errors import CallError
from streamproc.http.addresses import Resolver
from streamproc.http.connection import Answer, Connection, StaleError
from streamproc.http.content import accepted_encodings, inflate_within
from streamproc.http.contract import (
    CONNECT_TIMEOUT_S,
    CONNECTING,
    READING,
    TLS,
    WAITING,
    ClientOptions,
    Request,
    Response,
    Target,
    Tls,
    cannot_connect,
    reset,
    unreachable,
)
from streamproc.http.known_heads import KnownHeads
from streamproc.http.tls import context
from streamproc.interfaces import RecheckError
from streamproc.targets import Targets
from streamproc.waiting import Turns

_MAX_POOLS = 256  # fewer than a process may have files: each one keeps a connection, or more
_WITHOUT_BODY = (b"GET", b"DELETE", b"HEAD")


class LeanClient:
    """See `contract.Client`. A pool of connections per target, the warmest one first."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._pools: Targets[Target, _Pool] = Targets(self._pool_of, _MAX_POOLS)
        self._resolver = Resolver()
        self._known = KnownHeads()
        self._tls: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        if self._options.tls != Tls():  # what is wrong with it is said now
            self._tls = context(self._options.tls)
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pool in self._pools.alive():
            pool.close()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next turn

    async def send(self, request: Request) -> Response:
        """See `contract.Client`."""
        pool = self._pools[request.target]
        if not request.body and request.method in _WITHOUT_BODY:
            end = b"\r\n"
        else:
            end = b"Content-Length: %d\r\n\r\n%b" % (len(request.body), request.body)
        data = b"".join((request.method, b" ", request.path, pool.common, request.headers, end))
        request.sent = False
        connection = pool.idle.pop() if pool.idle else await pool.take_for(request)
        assert self._loop is not None
        while True:
            answer: Answer = self._loop.create_future()
            connection.ask(request, data, answer)
            try:
                response = await answer
            except asyncio.CancelledError as error:
                error.add_note(READING if connection.is_answering else WAITING)
                connection.cancel(answer)
                raise
            except StaleError as error:
                if not request.is_idempotent:
                    raise reset("the connection was closed as it was used again") from error
            else:
                if response.encodings:
                    response = await self._decoded(request, response)
                return response
            connection = await pool.take_fresh()  # and that one is not stale: once is enough

    async def _decoded(self, request: Request, response: Response) -> Response:
        limit = self._options.max_body_bytes
        request.answering(response.status)
        body = await inflate_within(response.body, response.encodings, limit, request.share)
        return Response(response.status, response.headers, body)

    async def reach(self, target: Target) -> None:
        """Open a connection, TLS included, and ask nothing. Raises `CallError`."""
        await self._pools[target].take()

    def _pool_of(self, target: Target) -> _Pool:
        if target.scheme != "https":
            return _Pool(target, self._options, self._resolver, self._known, None)
        self._tls = self._tls or context(self._options.tls)  # costs as much as all imports of http
        return _Pool(target, self._options, self._resolver, self._known, self._tls)


class _Pool:
    """The connections to one target, at most as many as the options say."""

    def __init__(
        self,
        target: Target,
        options: ClientOptions,
        resolver: Resolver,
        known: KnownHeads,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._target = target
        self._options = options
        self._resolver = resolver
        self._known = known
        self._tls = tls
        self.idle: list[Connection] = []  # the one that was used last at the end
        self._all: set[Connection] = set()
        self._connecting = 0
        self._turns = Turns()
        agent = f"User-Agent: {options.user_agent}\r\n" if options.user_agent else ""
        self.common = (
            f" HTTP/1.1\r\nHost: {target.authority}\r\n{agent}"
            f"Accept-Encoding: {accepted_encodings().decode()}\r\n"
        ).encode()

    async def take_for(self, request: Request) -> Connection:
        """A connection for a request that may be written now. Raises `RecheckError`."""
        standing = request.standing
        gate = standing.gate if standing is not None else None
        if standing is None or gate is None:
            return await self.take()
        gate.postpone(standing)
        connection = await self.take()
        if not gate.may_write(standing):
            self.freed(connection)
            raise RecheckError
        return connection

    async def take(self) -> Connection:
        """A connection: an idle one, a new one, or the next that becomes free."""
        while True:
            if self.idle:
                return self.idle.pop()
            if len(self._all) + self._connecting < self._options.connections:
                return await self._connect()
            await self._turns.wait()

    async def take_fresh(self) -> Connection:
        """As `take`, after a kept connection turned out to be closed: others may be, too."""
        for connection in self.idle[:]:
            connection.close()  # as old as that one, or older
        connection = await self.take()
        while connection.uses:  # somebody else used it meanwhile
            connection.close()
            connection = await self.take()
        return connection

    def retire(self) -> bool:
        """See `Retires`; closes what is idle."""
        is_used = len(self.idle) < len(self._all) or self._connecting
        if not is_used:
            self.close()
        return not is_used

    def close(self) -> None:
        """Close all."""
        for connection in list(self._all):
            connection.close()

    # A keeper of connections

    def freed(self, connection: Connection) -> None:
        """See `ConnectionOwner`."""
        self.idle.append(connection)
        self._turns.wake()

    def lost(self, connection: Connection) -> None:
        """See `ConnectionOwner`."""
        self._all.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._turns.wake()

    async def _connect(self) -> Connection:
        self._connecting += 1
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._dial()
        except TimeoutError as error:
            self._turns.wake()
            reason = f"no connection within {CONNECT_TIMEOUT_S:g} s"
            raise cannot_connect(self._target, reason) from error
        except BaseException:
            self._turns.wake()
            raise
        finally:
            self._connecting -= 1
        self._all.add(connection)
        return connection

    async def _open(self, family: int, host: str) -> Connection:
        """A connection to that address. A cancellation gets a note of what it was about."""
        loop = asyncio.get_running_loop()
        address, phase = (host, self._target.port), CONNECTING
        made = partial(Connection, self, self._options.max_body_bytes, self._known)
        try:
            if self._tls is None:
                _, connection = await loop.create_connection(made, *address, family=family)
                return connection
            sock, connection = _socket(family), made()
            try:
                await loop.sock_connect(sock, address)
                phase = TLS
                await loop.create_connection(
                    lambda: connection, sock=sock, ssl=self._tls, server_hostname=self._target.host
                )
            except BaseException:
                connection.close()  # just up, it would wait for the other side's farewell
                sock.close()
                raise
        except asyncio.CancelledError as error:
            error.add_note(phase)
            raise
        return connection

    async def _dial(self) -> Connection:
        """Try the addresses one after the other; each but the last gets its share of the time."""
        addresses = await self._resolver.resolve(self._target)
        failure: CallError | None = None
        for k, (family, host) in enumerate(addresses):
            share_s = (
                CONNECT_TIMEOUT_S / (len(addresses) - k + 1) if k + 1 < len(addresses) else None
            )
            try:
                async with asyncio.timeout(share_s):
                    return await self._open(family, host)
            except ssl.SSLError as error:
                failure = cannot_connect(self._target, _tls_reason(error), "tls")
                failure.__cause__ = error
            except TimeoutError as error:
                if share_s is None:
                    raise
                failure = cannot_connect(self._target, "no connection in time")
                failure.__cause__ = error
            except OSError as error:
                failure = unreachable(self._target, error)
                failure.__cause__ = error
        raise failure or cannot_connect(self._target, "no address")


def _socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    return sock


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return f"TLS handshake failed: {error.reason or error}"
