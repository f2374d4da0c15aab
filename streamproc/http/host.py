"""Hosts, as they go out.

Programs do not agree on what ends a host: for browsers a backslash does. So only what is a
name or an address for all of them is taken for one. Names beyond ASCII are written as
browsers write them (IDNA 2008 with the mapping of UTS 46): Python's own codec is of 2003, and
leads to another host for `straße.de`.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from ipaddress import IPv6Address
from urllib.parse import SplitResult, unquote

Listed = tuple[str, ...]
"""What `allow_hosts` has, in lower case and ASCII; `*` is any text."""

_PORTS = {"http": 80, "https": 443}
_MAX_NAME = 253  # RFC 1035; an underscore is none of its letters, but there are such names
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?").fullmatch
_ADDRESS = re.compile(r"[0-9a-f:.]+(?:%[A-Za-z0-9._~-]+)?").fullmatch


def origin(url: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError: why they are no good."""
    if url.scheme not in _PORTS or not url.hostname:
        raise ValueError("not an http or https URL")
    if "@" in url.netloc:
        raise ValueError("it has a user in it")
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


def listed(hosts: tuple[str, ...]) -> Listed:
    """What hosts are compared with. Raises ValueError for one that cannot be."""
    try:
        return tuple(
            ".".join(each if each.isascii() else _encoded(each) for each in host.lower().split("."))
            for host in hosts
        )
    except ValueError as error:
        raise ValueError(f"allow_hosts: {error}") from None


def check_listed(host: str, allowed: Listed) -> None:
    """Raises ValueError for a host that is not in `allowed`."""
    if not any(fnmatchcase(host, each) for each in allowed):
        raise ValueError(f"the host {host} is not in allow_hosts")
