"""A request as it is shown to people: secrets in it are masked."""

from __future__ import annotations

from streamproc.enrichers.http_credentials import is_secret
from streamproc.http.contract import Request
from streamproc.secrets import excerpt, redact

_SHOWN_URL = 500  # characters


def asked(request: Request) -> str:
    """Method and URL."""
    return f"{request.method.decode()} {request.target.name}{masked_url(request.path)}"


def masked_url(url: bytes) -> str:
    """`url`, or the path of one, without what its parameters keep secret."""
    path, mark, query = url.partition(b"?")
    if mark:
        path += mark + b"&".join(map(_masked, query.split(b"&")))
    return redact(excerpt(path, _SHOWN_URL))


def _masked(parameter: bytes) -> bytes:
    name, mark, _ = parameter.partition(b"=")
    return name + mark + b"***" if mark and is_secret(name.decode("latin-1")) else parameter
