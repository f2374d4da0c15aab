"""Hosts, as they may stand in a URL.

Programs do not agree on what ends a host: for browsers a backslash does. So only what is a
name or an address for all of them is taken for one.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from ipaddress import IPv6Address
from urllib.parse import SplitResult

Listed = tuple[str, ...]
"""What `allow_hosts` has, in lower case; `*` is any text."""

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
    host = checked(url.hostname, is_address="[" in url.netloc)
    return url.scheme, host, url.port or _PORTS[url.scheme]


def checked(host: str, *, is_address: bool) -> str:
    """`host`, a name, or an address of IPv6. Raises ValueError."""
    if is_address:
        if not _ADDRESS(host):
            raise ValueError(f"{host!r} is not an address")
        IPv6Address(host)
    elif host.isascii() and (not _NAME(host) or len(host) > _MAX_NAME):
        raise ValueError(f"{host!r} is not a host name")
    return host


def listed(hosts: tuple[str, ...]) -> Listed:
    """What hosts are compared with."""
    return tuple(host.lower() for host in hosts)


def check_listed(host: str, allowed: Listed) -> None:
    """Raises ValueError for a host that is not in `allowed`."""
    if not any(fnmatchcase(host, each) for each in allowed):
        raise ValueError(f"the host {host} is not in allow_hosts")
