"""The client for what is not lean: proxies, redirects. On aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from streamproc.errors import CallError, ConfigError
from streamproc.http.addresses import Resolver
from streamproc.http.content import accepted_encodings, inflate_within
from streamproc.http.contract import (
    CONNECT_TIMEOUT_S,
    CONNECTING,
    MAX_HEADER_BYTES,
    READING,
    WAITING,
    ClientOptions,
    Request,
    Response,
    Target,
    bad_answer,
    cannot_connect,
    reset,
    too_large,
    unreachable,
)
from streamproc.http.host import origin
from streamproc.http.redirects import Trail, next_request
from streamproc.http.tls import context
from streamproc.memory import LARGE_BYTES
from streamproc.secrets import hide

if TYPE_CHECKING:
    import aiohttp
    from multidict import CIMultiDict as Headers
    from yarl import URL

    from streamproc.http.aiohttp_connection import Attempt

_MAX_KNOWN = 1000  # of what records can name any number of
_MAX_KNOWN_BYTES = 1 << 10  # of one of them: nothing longer is kept


class AiohttpClient:
    """See `contract.Client`. Proxies as the environment names them."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._resolver = Resolver()
        self._headers: dict[bytes, Any] = {}  # parsed, as most requests have the same
        self._origins: dict[Target, tuple[str, URL | None]] = {}
        self._proxies: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        tls = context(self._options.tls)
        self._proxies = _proxies()
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        from streamproc.http import aiohttp_connection as ours

        self._aiohttp, self._ours, self._url, self._multidict = aiohttp, ours, URL, CIMultiDict
        connector = ours.AttemptConnector(
            limit=0,
            limit_per_host=self._options.connections,
            resolver=ours.CheckedResolver(self._resolver),
            use_dns_cache=False,  # the resolver has one
            ssl=tls,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=ours.OurRequest,
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # what one record gets is not for the next
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=ours.MAX_HEADERS,
        )
        self._session._retry_connection = False  # it would repeat what a fresh connection lost
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next turn

    async def send(self, request: Request) -> Response:
        """See `contract.Client`. Redirects are followed; the last answer counts.

        What comes after a redirect was not asked by `request` itself: if that must not be
        repeated, a failure there does not allow it.
        """
        first, first.sent, first.is_redirected = request, False, False
        response = await self._send_once(request)
        if not self._options.redirects:
            return response
        trail = Trail(self._options.redirects, request)
        hosts = self._options.allow_hosts
        may_be: frozenset[str] | None = None
        try:
            while (following := next_request(request, response, hosts)) is not None:
                first.is_redirected = True
                request = trail.step(following)
                request.standing = first.standing
                if may_be is None and request.target.host != first.target.host:
                    may_be = await self._resolver.kinds(first.target)
                response = await self._send_once(request, may_be)
        except CallError as error:
            error.again = error.again and first.is_idempotent
            raise
        return response

    async def _send_once(self, request: Request, may_be: frozenset[str] | None = None) -> Response:
        if request.target.is_from_record or may_be is not None:
            await self._check(request.target, may_be)
        attempt = self._ours.Attempt(request, may_be)
        try:
            return await self._attempted(request, attempt)
        except CallError as error:
            if error.kind != "reset" or not attempt.is_stale or not request.is_idempotent:
                raise
        return await self._attempted(request, self._ours.Attempt(request, may_be, is_fresh=True))

    async def _attempted(self, request: Request, attempt: Attempt) -> Response:
        """One attempt on one connection."""
        self._ours.ATTEMPT.set(attempt)
        origin, proxy = self._origins.get(request.target) or self._origin(request.target)
        headers = self._headers.get(request.headers) or self._parsed(request.headers)
        phase = WAITING
        try:
            answer = await self._session.request(
                request.method.decode(),
                self._url(origin + request.path.decode(), encoded=True),
                headers=headers,
                proxy=proxy,
                allow_redirects=False,
            )
            phase = READING
            try:
                body = await self._body(answer, request)
            except BaseException:
                answer.close()
                raise
            return Response(answer.status, list(answer.raw_headers), body)
        except CallError:
            raise
        except asyncio.CancelledError as error:
            error.add_note(phase if request.sent else CONNECTING)
            raise
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error, request.target, self._aiohttp) from error

    async def _body(self, answer: aiohttp.ClientResponse, request: Request) -> bytes:
        """The body, not more of it than the limit, whatever its headers say."""
        if answer.status < 100:
            raise bad_answer(f"not HTTP/1.1: {answer.status:03} is no status")
        if answer.status == 101:
            raise bad_answer("it switched protocols, which nobody asked for")
        limit, share = self._options.max_body_bytes, request.share
        content = answer.content
        if content.is_eof() and content.total_bytes <= limit:
            body = content.read_nowait()
        elif (answer.content_length or 0) > limit:
            raise too_large("body", limit)
        else:
            pieces = bytearray()  # a piece may have two bytes
            while piece := await content.readany():
                pieces += piece
                if len(pieces) > limit:
                    raise too_large("body", limit)
                if share is not None and len(pieces) > LARGE_BYTES:
                    if not share.has_room:
                        request.answering(answer.status)
                    await share.reserve(len(piece))
            body = bytes(pieces)
        names = answer.headers.getall("Content-Encoding", None)
        if names is None:
            return body
        return await inflate_within(body, ",".join(names), limit, share)

    async def _check(self, target: Target, may_be: frozenset[str] | None) -> None:
        """What the resolver cannot: aiohttp asks it for no addresses, and a proxy hides them."""
        is_proxied = self._proxy_of(target) is not None
        try:
            await self._resolver.resolve(target, may_be)
        except CallError as error:
            if not is_proxied or error.kind != "dns" or target.is_from_record:
                raise  # behind a proxy not every name has an address here
        if is_proxied and target.is_from_record:
            reason = "a record named this host, and behind a proxy nobody can check its address"
            raise CallError("connect", f"{target.authority}: {reason}")

    def _parsed(self, lines: bytes) -> Headers[str]:
        """The client's own headers, and those of a request."""
        headers: Headers[str] = self._multidict()
        for line in lines.decode().split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            headers.add(name, value.strip(" \t"))
        if "User-Agent" not in headers:
            headers["User-Agent"] = self._options.user_agent
        headers["Accept-Encoding"] = accepted_encodings().decode()
        if len(lines) <= _MAX_KNOWN_BYTES:
            if len(self._headers) >= _MAX_KNOWN:
                self._headers.clear()
            self._headers[lines] = headers
        return headers

    def _origin(self, target: Target) -> tuple[str, URL | None]:
        """What the URL begins with, and the proxy."""
        proxy = self._proxy_of(target)
        host = f"[{target.host}]" if ":" in target.host else target.host
        made = f"{target.scheme}://{host}:{target.port}", self._url(proxy) if proxy else None
        if len(self._origins) >= _MAX_KNOWN:
            self._origins.clear()
        self._origins[target] = made
        return made

    def _proxy_of(self, target: Target) -> str | None:
        from urllib.request import proxy_bypass

        proxy = self._proxies.get(target.scheme)
        return None if proxy is None or proxy_bypass(target.host) else proxy


def _proxies() -> dict[str, str]:
    """The proxies that the environment names. Raises `ConfigError` for one that is no good."""
    from urllib.parse import unquote, urlsplit
    from urllib.request import getproxies_environment

    found = {}
    for scheme, url in getproxies_environment().items():
        if scheme not in ("http", "https"):
            continue
        found[scheme] = whole = url if "://" in url else f"http://{url}"
        if whole.partition("://")[0].lower() not in ("http", "https"):
            kind = whole.partition("://")[0]
            raise ConfigError(f"{scheme}_proxy: a {kind} proxy; only http and https ones will do")
        try:
            password = urlsplit(whole).password
            origin(urlsplit(f"http://{whole.partition('://')[2].rpartition('@')[2]}"))
        except ValueError as error:
            raise ConfigError(f"{scheme}_proxy: no address of a proxy: {error}") from None
        if password:
            hide(password)
            hide(unquote(password))
    return found


def _mapped(error: Exception, target: Target, aiohttp: ModuleType) -> CallError:
    """What aiohttp raises, in the words of the contract."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return cannot_connect(target, error.strerror or error, "dns")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return cannot_connect(target, _tls_reason(error), "tls")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        failure = cannot_connect(target, f"the proxy answered {error.status} {error.message}")
        failure.again = error.status >= 500
        return failure
    if isinstance(error, TimeoutError):
        return cannot_connect(target, f"no connection within {CONNECT_TIMEOUT_S:g} s")
    if isinstance(error, aiohttp.ClientConnectorError):
        where = "its proxy: " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return unreachable(target, error.os_error, where)
    if isinstance(error, aiohttp.ClientPayloadError):
        return reset("the connection ended in the middle of the answer")
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(error, OSError):
        return CallError("connect", f"{target.authority}: {error}")
    if isinstance(error, aiohttp.ClientResponseError):
        return bad_answer(f"not HTTP/1.1: {error.message}")
    reason = "" if isinstance(error, aiohttp.ServerDisconnectedError) else f": {error}"
    return reset(f"the connection ended before the answer{reason}")


def _tls_reason(error: object) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {cause.verify_message}"
    return f"TLS handshake failed: {getattr(cause, 'reason', None) or cause}"
