"""Hosts, as they go out.

Programs do not agree on what ends a host: for browsers a backslash does. So only what is a
name or an address for all of them is taken for one. Names beyond ASCII are written as
browsers write them (IDNA 2008 with the mapping of UTS 46): Python's own codec is of 2003, and
leads to another host for `straße.de`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv6Address
from urllib.parse import (  # type: ignore[attr-defined]  # clear_cache: not in the stubs
    SplitResult,
    clear_cache,
    unquote,
    urljoin,
    urlsplit,
)

from msgspec import Struct


class Allowed(Struct, frozen=True):
    """An entry of `allow_hosts`: scheme and port, and a host in which `*` is any text."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if not self._is_usual else "")

    @property
    def is_pattern(self) -> bool:
        """Whether it is more than one host."""
        return any(character in self.host for character in "*?[")

    @property
    def _is_usual(self) -> bool:
        return self.port == _PORTS[self.scheme]

    def matches(self, at: Origin) -> bool:
        """Whether it means exactly that place."""
        return at[0] == self.scheme and at[2] == self.port and fnmatchcase(at[1], self.host)


Origin = tuple[str, str, int]
"""Scheme, host and port, as they go out."""

Listed = tuple[Allowed, ...]

_PORTS = {"http": 80, "https": 443}
_MAX_NAME = 253  # RFC 1035; an underscore is none of its letters, but there are such names
_MAX_WRITTEN = 9 * _MAX_NAME  # a letter in UTF-8, percent-encoded
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?").fullmatch
_PATTERN = re.compile(r"[^\s/@#\\]+").fullmatch  # a host, `*` in it
_KEPT_URL_BYTES = 1 << 10  # longer ones are not for the cache that `urlsplit` has
_ADDRESS = re.compile(r"[0-9a-f:.]+(?:%[A-Za-z0-9._~-]+)?").fullmatch


def split(url: str) -> SplitResult:
    """`urlsplit`, without keeping what is long. Raises ValueError."""
    try:
        return urlsplit(url)
    finally:
        _forget(url)


def join(base: str, url: str) -> str:
    """`urljoin`, alike."""
    try:
        return urljoin(base, url)
    finally:
        _forget(base, url)


def _forget(*urls: str) -> None:
    if max(map(len, urls)) > _KEPT_URL_BYTES:
        clear_cache()


def origin(url: SplitResult) -> Origin:
    """Where `url` leads. Raises ValueError: why it is no good."""
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError("not an http or https URL")
    if "@" in url.netloc:
        raise ValueError("it has a user in it")
    if len(url.netloc) > _MAX_WRITTEN:
        raise ValueError("its host is too long")
    host = _address(url.hostname) if "[" in url.netloc else _name(unquote(url.hostname))
    return url.scheme, host, url.port or _PORTS[url.scheme]


def _address(host: str) -> str:
    if not _ADDRESS(host):
        raise ValueError(f"{host!r} is not an address")
    IPv6Address(host)
    return host


def _name(host: str) -> str:
    name = host if host.isascii() else _encoded(host)
    if not _NAME(name) or len(name) > _MAX_NAME:
        raise ValueError(f"{host!r} is not a host name")
    return name.lower()


def _encoded(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{host!r} is not a host name: {error}") from None


def listed(entries: Iterable[str], key: str = "allow_hosts") -> Listed:
    """What hosts are compared with. Raises ValueError for an entry that is none."""
    return tuple(_entry(entry, key) for entry in entries)


def _entry(entry: str, key: str) -> Allowed:
    scheme, mark, rest = entry.lower().rpartition("://")
    if rest.startswith("[") and ":" in rest.partition("]")[0]:
        written, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1 and rest.partition(":")[2].isdecimal():
        written, _, port = rest.partition(":")
    else:
        written, port = rest, ""
    scheme = scheme if mark else "https"
    if scheme not in _PORTS or not _PATTERN(written) or not (port or "1").isdecimal():
        raise ValueError(f'{key}: expected a host, as "https://*.example.com", got {entry!r}')
    try:
        host = ".".join(each if each.isascii() else _encoded(each) for each in written.split("."))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    number = int(port[:6]) if port else _PORTS[scheme]
    if not 0 < number < 65536:
        raise ValueError(f"{key}: {entry}: there is no such port")
    return Allowed(scheme, host, number)


def placed(named: Origin, allowed: Listed) -> Origin:
    """Where a record that names `named` is asked: host as it says, scheme and port as listed.

    Raises ValueError for a host that is not listed, for another port than the listed ones, and
    for TLS where only plain HTTP is listed.
    """
    scheme, host, port = named
    entries = [each for each in allowed if fnmatchcase(host, each.host)]
    if not entries:
        raise ValueError(f"the host {host} is not in allow_hosts")
    if any(each.matches(named) for each in entries):
        return named
    for each in entries:
        names_port = port != _PORTS[scheme]
        if (each.port == port or not names_port) and (each.scheme, scheme) != ("http", "https"):
            return each.scheme, host, each.port
    here = Allowed(scheme, host, port)
    raise ValueError(f"{here} is not in allow_hosts, which has {entries[0]}")
