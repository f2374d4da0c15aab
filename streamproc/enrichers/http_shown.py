"""A request as it is shown to people: secrets in it are masked."""

from __future__ import annotations

from streamproc.enrichers.http_credentials import is_secret
from streamproc.http.contract import Request
from streamproc.secrets import HIDDEN, excerpt, redact

_SHOWN_URL = 500  # characters
_SHOWN_BODY = 2000
_SCHEMES = ("basic", "bearer", "token")  # of a credential, which is what comes after it
_NO_SECRETS = ("idempotency-key",)


def asked(request: Request) -> str:
    """Method and URL."""
    return f"{request.method.decode()} {request.target.name}{masked_url(request.path)}"


def sent(request: Request) -> list[str]:
    """The header lines that a stage has of its own, and the body."""
    lines = [_masked_header(each) for each in request.headers.decode().splitlines()]
    return [*lines, *([excerpt(request.body, _SHOWN_BODY)] if request.body else [])]


def masked_url(url: bytes) -> str:
    """`url`, or the path of one, without what its parameters keep secret."""
    path, mark, query = url.partition(b"?")
    if mark:
        path += mark + b"&".join(map(_masked, query.split(b"&")))
    return redact(excerpt(path, _SHOWN_URL))


def _masked(parameter: bytes) -> bytes:
    name, mark, _ = parameter.partition(b"=")
    is_hidden = mark and is_secret(name.decode("latin-1"))
    return name + mark + HIDDEN.encode() if is_hidden else parameter


def _masked_header(line: str) -> str:
    name, _, value = line.partition(": ")
    if is_secret(name) and name.lower() not in _NO_SECRETS:
        scheme, _, credential = value.partition(" ")
        value = f"{scheme} {HIDDEN}" if credential and scheme.lower() in _SCHEMES else HIDDEN
    return redact(f"{name}: {value}")
