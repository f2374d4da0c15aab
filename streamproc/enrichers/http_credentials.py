"""What of a request is a secret, and to whom it may not go."""

from __future__ import annotations

from streamproc.enrichers.http_settings import HttpSettings
from streamproc.errors import RecordError
from streamproc.http.contract import Target
from streamproc.http.template import Template
from streamproc.http.url import Url

_NAMES = ("authorization", "cookie", "key", "token", "secret", "password", "signature")


class Credentials:
    """Those of a stage whose records name the host."""

    def __init__(self, settings: HttpSettings) -> None:
        self._headers = {
            name.lower().encode()
            for name, value in settings.headers.items()
            if is_secret(name) or has_variables(value)
        }
        if settings.auth is not None:
            self._headers.add(settings.auth.pair()[0].lower().encode())
        sent = {
            "url": settings.url, "query": settings.query, "json": settings.json,
            "form": settings.form, "body": settings.body,
        }  # fmt: skip
        self._elsewhere = [name for name, value in sent.items() if has_variables(value)]

    def problems(self, url: Url) -> list[str]:
        """What is wrong if they could go nowhere."""
        if url.auth_hosts or not (self._headers or self._elsewhere):
            return []
        return [
            "allow_hosts: no host without a wildcard in it, so the credentials would go nowhere; "
            "list in auth_hosts which hosts may get them"
        ]

    def without(self, headers: bytes, target: Target) -> bytes:
        """`headers` as `target` may get them. Raises `RecordError` if leaving out is not enough."""
        if self._elsewhere:
            raise RecordError(
                "missing_field",
                f"{target.host} may not get the credentials in {self._elsewhere[0]}: only hosts "
                "that allow_hosts names without a wildcard, and those in auth_hosts",
            )
        lines = headers.splitlines(keepends=True)
        return b"".join(
            line for line in lines if line.partition(b":")[0].lower() not in self._headers
        )


def is_secret(name: str) -> bool:
    """Whether what has that name, a header or a parameter, is usually a secret."""
    return any(each in name.lower() for each in _NAMES)


def come_from_records(settings: HttpSettings) -> bool:
    """Whether each record may bring its own credentials."""
    named = {**settings.headers, **settings.query}
    paths = [path for name, each in named.items() if is_secret(name) for path in each.paths]
    return bool(paths) or any(is_secret(path[-1]) for path in settings.url.paths)


def has_variables(value: object) -> bool:
    """Whether something in `value` comes from the environment."""
    if isinstance(value, dict):
        return any(map(has_variables, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_variables, value))
    if isinstance(value, Template):
        return Template.parse(value.written).parts != value.parts
    return bool(getattr(value, "variables", None))
