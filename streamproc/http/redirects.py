"""Following redirects, without taking secrets to places that nobody meant."""

from __future__ import annotations

from urllib.parse import quote

from streamproc.errors import CallError
from streamproc.http.contract import Request, Response, Target, bad_answer
from streamproc.http.host import Allowed, Listed, Origin, join, origin, split
from streamproc.secrets import excerpt, redact

_STATUSES = (301, 302, 303, 307, 308)
_KEPT = (b"accept", b"user-agent", b"content-type")  # what is no secret, wherever it goes
_OF_BODY = (b"content-type", b"content-encoding", b"content-language")
_SHOWN = 200  # characters of a useless place
_LOOKED_AT = 2048  # characters in which a password is looked for
_SAFE = "/?&=%:;,@!$'()*+~[]-._"


class Trail:
    """The redirects of one call."""

    def __init__(self, most: int, first: Request) -> None:
        self._most = most
        self._seen = {_place(first)}
        self._steps = 0

    def step(self, request: Request) -> Request:
        """One more. Raises `CallError`: they go round in circles, or there are too many."""
        self._steps += 1
        place = _place(request)
        if place in self._seen:
            raise bad_answer(f"its redirects go round in circles, at {_shown(request)}")
        if self._steps > self._most:
            raise bad_answer(f"more than {self._most} redirects, the next to {_shown(request)}")
        self._seen.add(place)
        return request


def next_request(request: Request, response: Response, allow_hosts: Listed = ()) -> Request | None:
    """Where `response` sends us, None if it does not. Raises `CallError` for no usable place.

    To another scheme, host or port go neither headers that could be secret nor a body, never
    from TLS to plain HTTP, and to what `allow_hosts` lacks goes nothing, if there is one: a
    listed service may redirect anywhere.
    """
    if response.status not in _STATUSES:
        return None
    location = response.header(b"location")
    if not location:
        return None
    target, path = _resolved(request, location, allow_hosts)
    method, headers, body = request.method, request.headers, request.body
    if response.status == 303 or (response.status in (301, 302) and method == b"POST"):
        method, body = b"GET", b""
        headers = _without(headers, _OF_BODY)
    if target != request.target:
        if method != b"GET" or body:
            raise _useless(location, f"a {method.decode()} is not sent to another origin")
        headers = _only(headers, _KEPT)
    is_idempotent = request.is_idempotent or method == b"GET"
    return Request(target, method, path, headers, body, is_idempotent, sent=True)


def _resolved(request: Request, location: str, allow_hosts: Listed) -> tuple[Target, bytes]:
    base = request.target.name + request.path.decode()
    try:
        # as browsers do: the bytes that came, encoded where they are no URL
        url = split(join(base, quote(location.encode("latin-1"), safe=_SAFE + "#")))
        at = origin(url)
        target = Target(*at, request.target.is_from_record)
        if target != request.target:
            _check(at, request.target, allow_hosts)
    except ValueError as error:
        raise _useless(location, str(error)) from error
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return target, path.encode()


def _check(at: Origin, here: Target, allow_hosts: Listed) -> None:
    """Raises ValueError for a place to which `here` may not send us."""
    if here.scheme == "https" and at[0] != "https":
        raise ValueError("from https to plain http")
    is_upgrade = at == ("https", here.host, 443)
    if allow_hosts and not is_upgrade and not any(each.matches(at) for each in allow_hosts):
        raise ValueError(f"{Allowed(*at)} is not in allow_hosts")


def _useless(location: str, reason: str) -> CallError:
    # what is hidden may be long, and so may a password be: the last cut is for the eye
    said = redact(excerpt(location.encode("latin-1"), _LOOKED_AT))
    shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
    return bad_answer(f"a redirect to {shown!r}: {reason}")


def _only(headers: bytes, names: tuple[bytes, ...]) -> bytes:
    return b"".join(line for line in headers.splitlines(keepends=True) if _name(line) in names)


def _without(headers: bytes, names: tuple[bytes, ...]) -> bytes:
    return b"".join(line for line in headers.splitlines(keepends=True) if _name(line) not in names)


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()


def _place(request: Request) -> tuple[Target, bytes, bytes]:
    return request.target, request.method, request.path


def _shown(request: Request) -> str:
    return request.target.name + excerpt(request.path, _SHOWN)
