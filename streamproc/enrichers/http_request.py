"""Record → request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from streamproc.codec import encode
from streamproc.enrichers.http_credentials import Credentials
from streamproc.enrichers.http_json import compiled, fields_of, written
from streamproc.enrichers.http_settings import HttpSettings
from streamproc.enrichers.http_shown import asked
from streamproc.errors import RecordError
from streamproc.http.contract import Request, Target, Tls
from streamproc.http.template import MissingFieldError, Template
from streamproc.http.url import Url
from streamproc.interfaces import Standing
from streamproc.secrets import hide
from streamproc.shown import one_line
from streamproc.types import Record
from streamproc.version import __version__

Shares = Literal["credential", "credential-name"]

_KEY_VERSION = 3  # of what is in a key
_LONG_SECRET = 12  # of a header that is written out in the pipeline file: not a common word
ID_HEADER = "X-Request-Id"
USER_AGENT = f"streamproc/{__version__}"

_IDEMPOTENT = ("GET", "PUT", "DELETE")  # RFC 9110, 9.2.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
# bytes of a variable, half characters of a record
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]").search
_OURS = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


@lru_cache(1000)
def _name(target: Target) -> bytes:
    return target.name.encode()


class HttpCall(Request):
    """A request, and what policies want to know beyond it. See `interfaces.Call`."""

    is_negative: bool = False
    salt: bytes = b""
    item: Any = None  # what it puts into the list of a bulk request
    item_json: bytes = b""  # the same, written
    varying: bytes = b""  # header lines that depend on the record, as they count for the key
    status: int | None = None
    has_id: bool = False  # of its record, among the headers
    followed: bytes = b""  # what who follows the record says, the last of the headers

    def __str__(self) -> str:
        return asked(self)

    def key(self) -> bytes:
        """A hash of stage and credential; method, URL, headers that vary, and body."""
        path = self.path
        if b"&" in path:  # of parameters with the same name the order matters
            path, mark, query = path.partition(b"?")
            parameters = query.split(b"&")
            parameters.sort(key=lambda each: each.partition(b"=")[0])
            path += mark + b"&".join(parameters)
        asked = b"\n".join((self.salt, _name(self.target), self.method, path))
        # no line break is in a line, and what may contain one comes with its length
        if rest := self.varying + self.body + self.item_json:
            asked += b"\n%d %d\n%b" % (len(self.varying), len(self.body), rest)
        return asked


class RequestBuilder:
    """Makes the request of a record. Constructing it finds what is wrong with the settings."""

    def __init__(
        self,
        settings: HttpSettings,
        stage: str,
        *,
        is_bulk: bool = False,
        repeats: bool = False,
        shares: Shares = "credential",
        reading: Sequence[str | None] = (),
    ) -> None:
        """`repeats`: a POST may be repeated. `shares`: what of a credential is in a cache's key.
        `reading`: what else than `settings` says which answers are good, and whose they are.

        `problems` are what is wrong, each with its key.
        """
        self.settings = settings
        self.problems = list(_problems(settings, is_bulk=is_bulk))
        try:
            self.url = Url(settings.url, settings.query, settings.allow_hosts, settings.auth_hosts)
        except ValueError as error:
            self.problems.append(f"url: {error}")
        if self.problems:
            return
        has_body = any(each is not None for each in (settings.json, settings.form, settings.body))
        self.method = settings.method or ("POST" if has_body or is_bulk else "GET")
        headers = settings.headers
        lower = {name.lower() for name in headers}
        self.user_agent = "" if "user-agent" in lower else USER_AGENT
        is_idempotent = self.method in _IDEMPOTENT or repeats or "idempotency-key" in lower
        self._is_idempotent = is_idempotent
        constant = {name: each.literal for name, each in headers.items() if each.is_literal}
        self._varying = {name: each for name, each in headers.items() if not each.is_literal}
        self._named = {name: Template.parse(each.written) for name, each in self._varying.items()}
        self._by_name = shares == "credential-name" and any(
            each.parts != self._varying[name].parts for name, each in self._named.items()
        )
        if "accept" not in lower:
            constant["Accept"] = "application/json"
        kind = _content_type(settings, is_bulk=is_bulk)
        if kind and "content-type" not in lower:
            constant["Content-Type"] = kind
        if settings.auth is not None:
            name, value = settings.auth.pair()
            constant[name] = value
            if len(value) >= _LONG_SECRET:
                hide(value.removeprefix("Bearer "))
        self._constant = b"".join(header(name, value) for name, value in constant.items())
        self._credentials = Credentials(settings) if self.url.target is None else None
        if self._credentials is not None:
            self.problems += self._credentials.problems(self.url)
        self._fill = compiled(settings.json) if settings.json is not None else None
        self._is_bulk = is_bulk
        self._varies = has_body or bool(self._varying)  # in more than its URL
        self._method = self.method.encode()
        self._render = self.url.render
        self._salt = _salt(settings, stage, kind, shares, reading)

    @property
    def fields(self) -> list[tuple[str, ...]]:
        """What a request is made of."""
        settings = self.settings
        templates = [settings.url, *settings.query.values(), *settings.headers.values()]
        templates += [*(settings.form or {}).values(), *filter(None, [settings.body])]
        found = [path for each in templates for path in each.paths]
        return list(dict.fromkeys(found + fields_of(settings.json)))

    def build(self, fields: Record) -> HttpCall | None:
        """The call of a record, None if it lacks fields. Raises `RecordError`."""
        try:
            target, path = self._render(fields)
            headers, varying, item, item_json, body = self._constant, b"", None, b"", b""
            if self._varies:
                varying = _lines(self._varying, fields)
                headers += varying
                if self._by_name:
                    varying = _lines(self._named, fields)
                if self._fill is not None:
                    item = self._fill(fields)
                    item_json = written(item)
                body = b"" if self._is_bulk else item_json or self._body(fields)
            if self._credentials is not None and not self.url.is_trusted(target):
                headers = self._credentials.without(headers, target)
        except MissingFieldError:
            if self.settings.on_missing == "fail":
                raise
            return None
        except UnicodeEncodeError:
            raise RecordError("missing_field", "the request would get a lone surrogate") from None
        return HttpCall(
            target, self._method, path.encode(), headers, body, self._is_idempotent,
            False, False, Standing(), False, self._salt, item, item_json, varying,
        )  # fmt: skip

    def bulk(self, calls: list[HttpCall]) -> Request:
        """One request for all of them."""
        first = calls[0]
        items = b"[%b]" % b",".join([call.item_json for call in calls])
        return Request(
            first.target, first.method, first.path, first.headers, items, first.is_idempotent
        )

    def _body(self, fields: Record) -> bytes:
        settings = self.settings
        if settings.form is not None:
            from urllib.parse import urlencode

            pairs = [(name, template.fill(fields)) for name, template in settings.form.items()]
            return urlencode(pairs).encode()
        return settings.body.fill(fields).encode() if settings.body is not None else b""


def _problems(settings: HttpSettings, *, is_bulk: bool) -> Iterator[str]:
    bodies = [name for name in ("json", "form", "body") if getattr(settings, name) is not None]
    if len(bodies) > 1:
        yield f"{bodies[1]}: there is {bodies[0]} already; a request has one body"
    if is_bulk and "json" not in bodies:
        yield "json: a stage with batch needs it: it is the record's item in the list"
    if is_bulk and not all(
        each.is_literal
        for each in (settings.url, *settings.query.values(), *settings.headers.values())
    ):
        yield "url: no fields in url, query and headers with batch: the list is one request"
    for name, template in settings.headers.items():
        if not _TOKEN(name) or name.lower() in _OURS:
            yield f"headers.{name}: not a header that can be set"
        elif any(isinstance(part, str) and _UNSAFE(part) for part in template.parts):
            yield f"headers.{name}: a line break or control character"
        elif any(isinstance(part, str) and _NOT_UTF8(part) for part in template.parts):
            yield f"headers.{name}: not UTF-8"
    if settings.client == "lean" and settings.redirects:
        yield "client: the lean one follows no redirects; leave it out"
    if settings.auth is not None and _UNSAFE("".join(settings.auth.pair())):
        yield "auth: a line break or control character"
    elif settings.auth is not None and _NOT_UTF8("".join(settings.auth.pair())):
        yield "auth: not UTF-8"


def _lines(templates: dict[str, Template], fields: Record) -> bytes:
    return b"".join([header(name, each.fill(fields)) for name, each in templates.items()])


def header(name: str, value: str) -> bytes:
    """Its line. Raises `RecordError`."""
    if _UNSAFE(value):
        raise RecordError(
            "missing_field", f"the header {name} would get a line break or control character"
        )
    if _NOT_UTF8(value):
        raise RecordError("missing_field", f"the header {name} would get a lone surrogate")
    return f"{name}: {value.strip()}\r\n".encode()


def id_header(record_id: str) -> bytes:
    """The line that tells a service which record it is asked for, written as in the log: a name of
    a file may have characters in it that no header has.
    """
    return f"{ID_HEADER}: {one_line(record_id)}\r\n".encode()


def _content_type(settings: HttpSettings, *, is_bulk: bool) -> str | None:
    if settings.json is not None or is_bulk:
        return "application/json"
    if settings.form is not None:
        return "application/x-www-form-urlencoded"
    return "text/plain; charset=utf-8" if settings.body is not None else None


def _salt(
    settings: HttpSettings, stage: str, kind: str | None, shares: Shares, reading: Sequence[object]
) -> bytes:
    """What all keys of a stage begin with: whatever the answers depend on besides the record,
    as 32 bytes.

    With shares = "credential-name" it has settings as they were written: a rotated key keeps
    its answers.
    """
    auth = settings.auth
    credential: Any = None
    headers = {name: each.written for name, each in settings.headers.items()}
    tls = settings.tls or Tls()
    authorities, certificate = _content_of(tls.ca), tls.cert
    if shares == "credential":
        credential = auth.pair() if auth is not None else None
        headers = {name: repr(each.parts) for name, each in settings.headers.items()}
        certificate = _content_of(tls.cert)
    elif auth is not None:
        given = (auth.bearer, auth.basic, auth.value)
        credential = [auth.header, *(getattr(each, "written", each is None) for each in given)]
    written = encode(
        [
            _KEY_VERSION, stage, shares, credential, headers, kind, settings.select, settings.ok,
            settings.missing, settings.redirects_followed, authorities, certificate,
            tls.dangerously_accept_any_certificate, reading,
        ]
    )  # fmt: skip
    return sha256(written).digest()


def _content_of(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # said when it is opened
        return path
