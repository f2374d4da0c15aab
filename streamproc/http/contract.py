"""What the two HTTP clients have in common: requests, responses, limits, errors.

Each client maps what its library raises to `CallError`, once, here at the border:

    connect              refused, unreachable, not within the connect timeout, no descriptors left
    dns                  the name has no address
    tls                  certificate or handshake; never tried again for a bad certificate
    reset                the connection ended before the answer did
    bad_answer           not HTTP/1.1, or a body that cannot be decoded
    answer_too_large     header or body beyond its limit
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from msgspec import Struct

from streamproc.errors import CallError
from streamproc.interfaces import Share, Standing

if TYPE_CHECKING:
    from streamproc.http.host import Listed

CONNECT_TIMEOUT_S = 5.0
DNS_TTL_S = 60.0
MAX_HEADER_BYTES = 64 << 10
MAX_BODY_BYTES = 10 << 20
MAX_REDIRECTS = 5

CONNECTING = "connecting"
TLS = "in the TLS handshake"
WAITING = "waiting for the answer"
READING = "reading the answer"
"""What a client was about when it was cancelled; a note on the cancellation."""

Headers = Iterable[tuple[bytes, bytes]]
"""As they came, in their order."""


class Target(Struct, frozen=True, cache_hash=True):
    """Where connections go. `is_from_record`: a record named the host, so it is not trusted."""

    scheme: str
    host: str
    port: int
    is_from_record: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """`https://api.example.com`, with the port unless it is the usual one."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"
        )


class Request(Struct):
    """`path` begins with / and includes the query; `headers` are whole lines, each with CRLF.

    `headers` does not have Host, Content-Length, Accept-Encoding and Connection: these are the
    client's. A client sets `sent` as soon as bytes of the request may have left, and
    `is_redirected` as soon as it has been answered, with a redirect that is followed. One that
    had to open a connection asks the gate of `standing`, if there is one, before it writes.
    """

    target: Target
    method: bytes
    path: bytes
    headers: bytes = b""
    body: bytes = b""
    is_idempotent: bool = True
    sent: bool = False
    is_redirected: bool = False
    standing: Standing | None = None

    @property
    def share(self) -> Share | None:
        """What its record holds, the answer included; None if there is none."""
        visit = self.standing.visit if self.standing is not None else None
        return visit.share if visit is not None else None

    def answering(self, status: int) -> None:
        """The rest of an answer has to wait here, which is not its target's fault."""
        if self.standing is not None and self.standing.gate is not None and status < 500:
            self.standing.gate.answering(self.standing)


class Response(Struct, frozen=True, gc=False):
    """A whole answer; `body` is decoded by its Content-Encoding.

    `encodings` are those that a client has still to undo, none in what it returns.
    """

    status: int
    headers: Headers
    body: bytes
    encodings: str = ""

    def header(self, name: bytes) -> str | None:
        """The value of the header `name` (lower case), the first if there are several."""
        for key, value in self.headers:
            if len(key) == len(name) and key.lower() == name:
                return value.decode("latin-1")
        return None


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ca`: a PEM file to trust instead of the system's. `cert`, `key`: the client's own.

    `dangerously_accept_any_certificate` switches the verification off, for this stage.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    dangerously_accept_any_certificate: bool = False


class ClientOptions(Struct, frozen=True):
    """What a client is opened with. `connections` per target; `redirects`: followed at most.

    `allow_hosts`: where redirects may lead to; anywhere if empty.
    """

    connections: int = 64
    max_body_bytes: int = MAX_BODY_BYTES
    redirects: int = 0
    allow_hosts: Listed = ()
    tls: Tls = Tls()
    user_agent: str = "streamproc"


class Client(Protocol):
    """Sends requests over pooled keep-alive connections.

    Constructed with `ClientOptions`, touches nothing before it is entered.
    """

    async def __aenter__(self) -> Self:
        """Ready to send. Raises `ConfigError` for TLS files that cannot be read."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""

    def send(self, request: Request) -> Awaitable[Response]:
        """The whole answer, whatever its status. Raises `CallError`.

        Cancelling it closes the connection that it used. A kept connection that turns out
        to be closed before a byte of the answer came is replaced by a fresh one, once, if
        the request is idempotent or was not sent.
        """


def reset(message: str) -> CallError:
    """The connection ended before the answer did."""
    return CallError("reset", message, again=True, is_outage=True)


def cannot_connect(target: Target, reason: object, kind: str = "connect") -> CallError:
    """No connection to `target`."""
    message = f"{target.authority}: {reason}"
    return CallError(kind, message, again=kind != "tls", is_outage=True)


def lacks_files(error: OSError) -> bool:
    """Whether this process, or the machine, has no more file descriptors."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def unreachable(target: Target, error: OSError, where: str = "") -> CallError:
    """`error` came of connecting. Nobody's outage if it is our own lack of descriptors."""
    if not lacks_files(error):
        return cannot_connect(target, f"{where}{error.strerror or error}")
    from resource import RLIMIT_NOFILE, getrlimit

    may_have = f"this process may have {getrlimit(RLIMIT_NOFILE)[0]}"
    whose = may_have if error.errno == errno.EMFILE else "the machine has no more"
    reason = f"too many open files, {whose}: raise the limit (ulimit -n) or lower -j"
    return CallError("connect", f"{target.authority}: {reason}", again=True)


def bad_answer(message: str) -> CallError:
    """What came is not an answer that can be used. The target is alive, if not well."""
    return CallError("bad_answer", message)


def too_large(what: str, limit_bytes: int) -> CallError:
    """A `what` ("header", "body") of more than `limit_bytes`."""
    return CallError("answer_too_large", f"the answer's {what} exceeds {limit_bytes} bytes")
