"""The `http` table of a stage."""

from __future__ import annotations

from typing import Any, Literal, cast

from msgspec import Struct

from streamproc.http.contract import MAX_BODY_BYTES, MAX_REDIRECTS, Tls
from streamproc.http.template import Template
from streamproc.secrets import hide
from streamproc.units import ByteSize

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of: `bearer`, a token; `basic`, "user:password"; `header` with `value`."""

    bearer: str | None = None
    basic: str | None = None
    header: str | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        given = [self.bearer, self.basic, self.header]
        if sum(each is not None for each in given) != 1:
            raise ValueError("expected exactly one of bearer, basic, header")
        if (self.header is None) != (self.value is None):
            raise ValueError('expected a header with its value, as { header = "X-Key", value = … }')

    def pair(self) -> tuple[str, str]:
        """Name and value of the header."""
        if self.header is not None and self.value is not None:
            return self.header, self.value
        if self.basic is not None:
            from base64 import b64encode

            coded = b64encode(self.basic.encode("utf-8", "surrogateescape")).decode()
            if getattr(self.basic, "variables", None):
                hide(coded)
            return "Authorization", f"Basic {coded}"
        return "Authorization", f"Bearer {self.bearer}"


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to ask a service, and how to read its answer.

    `ok`: statuses that are answers, 200 to 299 if it is not given. `missing`: what a 404
    becomes. `on_missing`: what happens to a record without the fields of the URL. `allow_hosts`:
    hosts that a record may name, `auth_hosts`: those of them that get credentials, besides the
    ones that are listed without a wildcard.
    """

    url: Template
    method: Method | None = None
    query: dict[str, Template] = {}
    headers: dict[str, Template] = {}
    json: Any = None
    form: dict[str, Template] | None = None
    body: Template | None = None
    auth: Auth | None = None
    ok: tuple[int, ...] | None = None
    missing: Literal["null", "fail", "skip"] = "null"
    on_missing: Literal["skip", "fail"] = "skip"
    select: str | None = None
    redirects: bool | int = False
    client: Literal["auto", "lean", "aiohttp"] = "auto"
    tls: Tls | None = None
    allow_hosts: tuple[str, ...] = ()
    auth_hosts: tuple[str, ...] = ()
    max_body: ByteSize = cast("ByteSize", MAX_BODY_BYTES)

    @property
    def redirects_followed(self) -> int:
        """How many, at most."""
        return (
            self.redirects * MAX_REDIRECTS if isinstance(self.redirects, bool) else self.redirects
        )
